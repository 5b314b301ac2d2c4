"""Writes single events and waits for the broker: what the gateway and the command line use; workers have their own.

One thread serves the client library; whatever it acknowledged together wakes the event loop once.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.attributes import headers_of, new_id
from schemas.avro.codec import Codec
from schemas.event import Event
from topics.contact import Contact
from topics.errors import EventTooLargeError, NotAcknowledged, TopicError, UnknownTopicError
from topics.kafka import KafkaConfig
from topics.refusals import missing_right

_LOG = logging.getLogger(__name__)
_POLL_S = 0.1
#: The library's own lines from this severity on; the rest comes by callbacks, once and not at each attempt.
_SEVERE = 2
_ANY_PARTITION = -1  # as the library calls the one that the key gives
#: How long a topic that the broker does not know may be one that it does not know yet.
_UNKNOWN_MS = 1000
#: How often a record is sent that the broker took for a repetition; the second time it knows the producer.
_TRIES = 3
#: Seconds between two replacements of a client that failed for good: they double, and begin anew with a success.
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
#: Seconds for which a failure counts: a client that is refused fails again within that time, since `check` replaces it.
_FAILED_S = 15.0
_DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
_PURGED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})  # noqa: SLF001 the library's names
#: The client's own limit on a record, in bytes; each topic's is enforced by the broker.
_MAX_BYTES = 64 * 1024 * 1024


class Ack(NamedTuple):
    """Where an event lies on the log, once the broker has acknowledged it."""

    id: str
    topic: str
    partition: int
    offset: int


class _Record(NamedTuple):
    """What is sent and not yet acknowledged."""

    topic: str
    value: bytes | None
    key: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    partition: int | None


class _Delivery:
    """A record under way, and what became of it; `served` collects those whose delivery report has come."""

    __slots__ = ("error", "future", "place", "record", "served")

    def __init__(self, record: _Record, future: asyncio.Future[tuple[int, int]], served: "deque[_Delivery]") -> None:
        self.record = record
        self.future = future
        self.served = served
        self.error: KafkaError | None = None
        self.place = (-1, -1)

    def noted(self, error: KafkaError | None, message: Message) -> None:
        """Take in what the library says, in its thread."""
        self.error = error
        offset = message.offset()
        self.place = (message.partition() or 0, -1 if offset is None else int(offset))
        self.served.append(self)


class EventProducer:
    """An idempotent producer with acks=all and Java's partitioner; belongs to the loop on which it first sends.

    ``source`` is the ``ce_source`` of what it writes, ``now_ms`` the clock for ``ce_time``.
    """

    def __init__(
        self,
        config: KafkaConfig,
        codec: Codec,
        source: str,
        *,
        now_ms: Callable[[], int],
        message_timeout_ms: int = 7000,
    ) -> None:
        """Connect lazily; ``message_timeout_ms`` is how long a record may wait for its acknowledgement.

        The library looks once a second for what has waited too long, and those who send webhooks wait for ten: seven
        leave a machine that is busy two to say so.
        """
        self._codec = codec
        self._source = source
        self._now_ms = now_ms
        self._timeout_ms = message_timeout_ms
        self._settings = config.client(
            enable_idempotence=True,
            acks="all",
            partitioner="murmur2_random",
            linger_ms=0,
            message_timeout_ms=message_timeout_ms,
            message_max_bytes=_MAX_BYTES,
            retry_backoff_ms=20,
            topic_metadata_propagation_max_ms=_UNKNOWN_MS,
        )
        self._reach = config.reach
        self._contact_settings = config.client()
        self._topic = ""  # the last one that was written to
        self._producer: Producer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        # The client of which a thread looks whether it has lost the brokers, and what finds out; None while none does.
        self._contact: tuple[Producer, Contact] | None = None
        self._contact_lock = threading.Lock()  # held to begin and to end that
        self._served: deque[_Delivery] = deque()
        self._closing = threading.Event()
        self._broken = threading.Event()
        self._failure_text = ""
        self._failed_at = float("-inf")
        self._pause_s = 0.0
        self._replaced_at = float("-inf")

    async def start(self) -> None:
        """Connect now, so that the first event need not wait for it: a new broker takes a second to give an id."""
        self._connected()

    async def check(self) -> str | None:
        """Return None when the broker takes what is sent, as far as is known, else one line that says why it does not.

        A client that failed for good is replaced here as well: nobody sends anything to a process that is not ready.
        """
        try:
            self._connected()
        except TopicError as error:
            return str(error)
        if asyncio.get_running_loop().time() - self._failed_at < _FAILED_S:
            return f"the broker refuses what this process writes: {self._failure_text}"
        return None

    async def send(
        self,
        topic: str,
        event: Event,
        *,
        id: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        traceparent: str | None = None,
        source: str | None = None,
        time_ms: int | None = None,
    ) -> Ack:
        """Write an event and wait for the broker's acknowledgement; arguments and errors as those of ``begin``."""
        return await self.begin(
            topic,
            event,
            id=id,
            key=key,
            headers=headers,
            traceparent=traceparent,
            source=source,
            time_ms=time_ms,
        ).acknowledged()

    def begin(
        self,
        topic: str,
        event: Event,
        *,
        id: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        traceparent: str | None = None,
        source: str | None = None,
        time_ms: int | None = None,
        partition: int | None = None,
    ) -> "Pending":
        """Put an event under way; several at once need no task each.

        ``id`` becomes ``ce_id`` (random if not given), ``key`` replaces the event's own, ``headers`` go beside the
        CloudEvents attributes; ``source`` and ``time_ms`` say where and when the event was made, if elsewhere and
        earlier; ``partition`` replaces the one that the key gives. Raises NotAcknowledged, RecordTooLargeError,
        UnknownTopicError, and SchemaError for an event that cannot be encoded; what comes
        later is raised by ``acknowledged``.
        """
        event_id = id or new_id()
        at_ms = self._now_ms() if time_ms is None else time_ms
        text = event.key_text() if key is None else key
        record = _Record(
            topic,
            self._codec.encode(event),
            None if text is None else text.encode(),
            headers_of(event_id, event.event_type, source or self._source, at_ms, traceparent, headers),
            partition,
        )
        delivery = self._produce(record)
        return Pending(event_id, topic, delivery, self)

    async def send_raw(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] | None = None,
        partition: int | None = None,
    ) -> tuple[int, int]:
        """Write bytes as they are, for records that exist already; return partition and offset. Raises as ``send``."""
        return await self.wait(self._produce(_Record(topic, value, key, headers or (), partition)))

    def begin_raw(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] | None = None,
        partition: int | None = None,
    ) -> "Pending":
        """Put bytes under way as they are; arguments and errors as those of ``send_raw``, answers as of ``begin``."""
        return Pending("", topic, self._produce(_Record(topic, value, key, headers or (), partition)), self)

    async def wait(self, delivery: _Delivery) -> tuple[int, int]:
        """Return partition and offset once the broker has the record; raises as ``send`` does.

        A record that the broker took for a repetition is sent again: the library reports it as a success without an
        offset, and it may never have been written. On a partition that is new to the producer, a batch that follows one
        that was refused for the moment is accepted, and the refused one then looks old. Where it had been written after
        all, it lies there twice with one ``ce_id``, and workers drop the second.
        """
        topic = delivery.record.topic
        for attempt in range(_TRIES):
            if attempt:
                delivery = self._produce(delivery.record)
            await delivery.future
            if delivery.error is not None:
                raise self._failure(topic, delivery.error)
            if delivery.place[1] >= 0:
                return delivery.place
        message = f"{topic}: the broker does not say where the record lies; it may not have it, send it again"
        raise NotAcknowledged(message)

    def _produce(self, record: _Record) -> _Delivery:
        topic, value, key, headers, partition = record
        self._topic = topic
        delivery = _Delivery(record, asyncio.get_running_loop().create_future(), self._served)
        where = _ANY_PARTITION if partition is None else partition
        producer = self._connected()
        try:
            producer.produce(topic, value, key, where, on_delivery=delivery.noted, headers=list(headers))
        except BufferError as error:
            message = f"{topic}: too many records wait for the broker already; try again later"
            raise NotAcknowledged(message) from error
        except KafkaException as error:
            if error.args[0].fatal() or error.args[0].code() == KafkaError._FATAL:  # noqa: SLF001 the library's name
                self._fail(producer, error.args[0])
            raise self._failure(topic, error.args[0]) from error
        return delivery

    async def close(self, seconds: float | None = None) -> None:
        """Wait for what is under way, at most its time-out or so many ``seconds``, and stop the thread."""
        if self._producer is not None:
            await asyncio.to_thread(self._producer.flush, self._timeout_ms / 1000 + 1 if seconds is None else seconds)
        self._closing.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        self._wake()

    def _connected(self) -> Producer:
        """Return the client, a new one after a fatal error: the library refuses all further work with the old."""
        if self._closing.is_set():
            message = "the producer is closed"
            raise TopicError(message)
        if self._producer is None or self._broken.is_set():
            now = asyncio.get_running_loop().time()
            if now - self._replaced_at < self._pause_s:
                message = f"the producer failed and is replaced in a moment: {self._failure_text}"
                raise NotAcknowledged(message)
            if self._producer is not None:
                self._pause_s = min(max(2 * self._pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
            self._replaced_at = now
            self._broken.clear()
            self._loop = asyncio.get_running_loop()
            self._producer = Producer(self._settings | {"log_level": _SEVERE, "error_cb": self._noticed}, logger=_LOG)
            self._thread = threading.Thread(
                target=self._serve, args=(self._producer,), name="event-producer", daemon=True
            )
            self._thread.start()
        return self._producer

    def _serve(self, producer: Producer) -> None:
        """Serve the library until closed, or until another client has replaced this one and nothing waits in it."""
        while not self._closing.is_set() and (producer is self._producer or len(producer)):
            try:
                producer.poll(_POLL_S)
            except KafkaException as error:  # the client reports a fatal error so, and not by its error callback
                self._fail(producer, error.args[0])
                self._closing.wait(_POLL_S)
            if self._served and self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        """Resume all who wait for what was served; a sender that was cancelled no longer does."""
        while self._served:
            delivery = self._served.popleft()
            if delivery.error is None:
                self._failed_at, self._pause_s = float("-inf"), 0.0
                self._reach.answered()
            elif delivery.error.code() in _DENIED:
                self._note_failure(delivery.error)
            if not delivery.future.done():
                delivery.future.set_result(delivery.place)

    def _noticed(self, error: KafkaError) -> None:
        """Take an error of the client, in the thread that serves it."""
        self._reach.failed(error)
        producer = self._producer
        if error.code() == KafkaError._ALL_BROKERS_DOWN and producer is not None and self._topic:  # noqa: SLF001
            self._suspect(producer, error)

    def _suspect(self, producer: Producer, error: KafkaError) -> None:
        """Look for the brokers in a thread, or let the one that looks already look once more."""
        with self._contact_lock:
            if self._contact is not None and self._contact[0] is producer:
                self._contact[1].noted(error)
                return
            contact = Contact(self._contact_settings)
            contact.noted(error)
            self._contact = producer, contact
        threading.Thread(
            target=self._look_for_brokers, args=(producer, contact, error), name="event-producer-contact", daemon=True
        ).start()

    def _look_for_brokers(self, producer: Producer, contact: Contact, error: KafkaError) -> None:
        """Replace a client that has lost the cluster for good; ends when it is answered. See `topics.contact`."""
        lost = False
        while not lost and self._looks_on(producer, contact):
            lost = not self._closing.wait(_POLL_S) and contact.lost(producer, self._topic)
        if lost:
            self._fail(producer, error)
            with self._contact_lock:
                self._look_no_more(contact)

    def _looks_on(self, producer: Producer, contact: Contact) -> bool:
        """Return whether to look again; if not, the next error begins anew. An error that came meanwhile counts."""
        with self._contact_lock:
            if contact.suspect and producer is self._producer and not self._closing.is_set():
                return True
            self._look_no_more(contact)
            return False

    def _look_no_more(self, contact: Contact) -> None:
        if self._contact is not None and self._contact[1] is contact:
            self._contact = None

    def _fail(self, producer: Producer, error: KafkaError) -> None:
        """Let the client be replaced, and all that waits in it fail now; what is in flight may be written."""
        self._note_failure(error)
        if not self._broken.is_set() and producer is self._producer:
            _LOG.error("the producer failed for good and is replaced: %s", error.str())
            self._broken.set()
        producer.purge()

    def _note_failure(self, error: KafkaError) -> None:
        self._failure_text = error.str()
        if self._loop is not None:
            self._failed_at = self._loop.time()  # the loop's clock never goes back

    def _failure(self, topic: str, error: KafkaError) -> TopicError:
        code = error.code()
        if code in (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.RECORD_LIST_TOO_LARGE):
            return EventTooLargeError(f"{topic}: the record is refused: {error.str()}")
        if code in (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART):  # noqa: SLF001 the library's names
            return UnknownTopicError(topic)
        denied = missing_right(error, topic)
        if denied is not None:
            return NotAcknowledged(f"{topic}: not written: {denied}")
        if code in _PURGED:
            return NotAcknowledged(f"{topic}: the producer failed and is replaced: {self._failure_text}")
        reason = self._reach.explanation or error.str()
        return NotAcknowledged(f"{topic}: not acknowledged within {self._timeout_ms / 1000:g} s: {reason}")


class Pending(NamedTuple):
    """An event under way to the broker."""

    id: str
    topic: str
    delivery: _Delivery
    producer: EventProducer

    async def acknowledged(self) -> Ack:
        """Return where it lies, once the broker says so; raises as ``begin``."""
        return Ack(self.id, self.topic, *await self.producer.wait(self.delivery))
