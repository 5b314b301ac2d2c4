"""Reads a stretch of a topic as it was committed: for tail, replay, queries of the past and watching runs.

Blocking: call it from a thread where an event loop is running. Never joins a group, so it moves no offsets.
"""

import contextlib
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from topics.contact import Contact
from topics.errors import BrokerUnavailableError, ReadCancelledError, TopicError
from topics.kafka import KafkaConfig
from topics.partition import partition_of

_LOG = logging.getLogger(__name__)
_ANSWER_S = 10.0
_SEVERE = 2  # the library's own lines from this severity on; that no broker answers is logged by `topics.reach`
_BATCH = 500
_PACE_S = 0.02
_KEYS_PACE_S = 0.5
_LOOK_S = 0.2  # seconds between two looks at whether a read was cancelled
_LAZY_BYTES = 1 << 20
_LEADERLESS = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})
GROUP = "streams-reader"  # required by the library; nothing is ever committed under it


_CANCELLED: ContextVar[threading.Event | None] = ContextVar("cancelled", default=None)


@contextlib.contextmanager
def cancellable(cancelled: threading.Event) -> Iterator[None]:
    """Let every read that begins in the block, in this thread, end with ReadCancelledError once `cancelled` is set.

    A read looks at it with each batch that the broker sends, so at least every 0.2 seconds.
    """
    token = _CANCELLED.set(cancelled)
    try:
        yield
    finally:
        _CANCELLED.reset(token)


@dataclass(frozen=True, slots=True)
class Time:
    """The first record whose timestamp is not before so many milliseconds since the epoch."""

    ms: int


#: Where to begin or end, per partition: an end of the log, an offset, a time, or an offset for each (those that have
#: none begin at the earliest record, so that nothing is missed).
Position: TypeAlias = Literal["earliest", "latest"] | int | Time | Mapping[int, int]


@dataclass(slots=True)
class RawRecord:
    """A record as it lies on the log; ``timestamp`` in milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def read(
    config: KafkaConfig,
    topic: str,
    *,
    start: Position = "earliest",
    end: Position = "latest",
    key: bytes | str | None = None,
    limit: int | None = None,
    partitions: Iterable[int] | None = None,
    timeout: float = _ANSWER_S,
) -> Iterator[RawRecord]:
    """Yield the committed records from ``start`` (inclusive) to ``end`` (exclusive), in order within a partition.

    ``latest`` is what is committed when reading begins. With ``key`` only its records are read, from the partition
    that murmur2 gives it. Raises TopicError for an unknown topic, BrokerUnavailableError if nothing comes for
    ``timeout`` seconds.
    """
    if limit is not None and limit <= 0:
        return
    wanted = key.encode() if isinstance(key, str) else key
    with _Reading(config, topic, timeout) as reading:
        chosen = reading.choose(partitions, wanted)
        found = 0
        for record in reading.between(reading.offsets(chosen, start), reading.offsets(chosen, end)):
            if wanted is None or record.key == wanted:
                yield record
                found += 1
                if found == limit:
                    return


def follow(
    config: KafkaConfig,
    topic: str,
    *,
    start: Position = "latest",
    key: bytes | str | None = None,
    partitions: Iterable[int] | None = None,
    stop: threading.Event | None = None,
    pace: float = 0.5,
    lazy: bool = False,
    quiet: float | None = None,
    timeout: float = _ANSWER_S,
) -> Iterator[RawRecord]:
    """Yield the committed records from ``start`` on as they come, until ``stop`` is set.

    With ``quiet`` it ends when nothing has come for so many seconds, in which something should have: a new reader
    finds brokers that this one may have lost.

    ``stop`` is looked at every ``pace`` seconds. A ``lazy`` follower may be half a second late and costs the broker and
    this process far less where much is written. Raises as ``read`` does at the beginning; later the library reconnects
    by itself, and only an error that it cannot mend, such as a deleted topic, is a TopicError.
    """
    wanted = key.encode() if isinstance(key, str) else key
    with _Reading(config, topic, timeout, lazy=lazy) as reading:
        reading.assign(reading.offsets(reading.choose(partitions, wanted), start))
        silent = 0.0
        while stop is None or not stop.is_set():
            messages = reading.fetched(pace)
            silent = 0.0 if messages else silent + pace
            if quiet is not None and silent > quiet:
                return
            for message in messages:
                if not _ended(message) and (wanted is None or message.key() == wanted):
                    yield _record(message)


def follow_keys(
    config: KafkaConfig,
    topic: str,
    *,
    start: Position = "latest",
    stop: threading.Event,
    lazy: bool = False,
    header: str = "",
) -> Iterator[list[tuple[bytes, bytes | None]]]:
    """Yield the keys of the committed records as they come, each with the value of its ``header``, many at a time.

    Half the cost of following the records.
    """
    with _Reading(config, topic, _ANSWER_S, lazy=lazy) as reading:
        reading.assign(reading.offsets(reading.choose(None, None), start))
        while not stop.is_set():
            found = [message for message in reading.fetched(_KEYS_PACE_S) if not _ended(message)]
            yield [(key, _header(message, header)) for message in found if (key := message.key()) is not None]


def offsets(
    config: KafkaConfig,
    topic: str,
    position: Position = "latest",
    *,
    partitions: Iterable[int] | None = None,
    timeout: float = _ANSWER_S,
) -> dict[int, int]:
    """Return the offset at a position for each partition; ``latest`` is the end of what is committed.

    Raises as ``read`` does.
    """
    with _Reading(config, topic, timeout) as reading:
        return reading.offsets(reading.choose(partitions, None), position)


class _Reading:
    """One consumer on one topic, for as long as the ``with`` block lasts."""

    def __init__(self, config: KafkaConfig, topic: str, timeout: float, *, lazy: bool = False) -> None:
        self._bootstrap = config.bootstrap_servers
        self._topic = topic
        self._timeout = timeout
        self._reach = config.reach
        self._config = config
        self._settings = config.client(
            group_id=GROUP,
            isolation_level="read_committed",
            enable_auto_commit=False,
            enable_partition_eof=True,
            auto_offset_reset="earliest",
            fetch_wait_max_ms=500 if lazy else 100,
            fetch_min_bytes=_LAZY_BYTES if lazy else 1,
            fetch_queue_backoff_ms=100 if lazy else 10,  # a full queue stops fetching for so long: not for a second
        )
        self._next: dict[int, int] = {}  # offsets, by partition
        self._connect()

    def _connect(self) -> None:
        # The library keeps the callback: one that led to this object would be a cycle, and a closed consumer with its
        # threads and connections would stay until a rare collection.
        self._contact = Contact(self._config.client())
        errors = self._contact.callback(self._reach.failed)
        self._consumer = Consumer(self._settings | {"log_level": _SEVERE, "error_cb": errors}, logger=_LOG)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def choose(self, partitions: Iterable[int] | None, key: bytes | None) -> list[int]:
        """Return the partitions to read: the given ones, the key's, or all."""
        try:
            metadata = self._consumer.list_topics(self._topic, timeout=self._timeout).topics[self._topic]
        except KafkaException as error:
            raise self._silence(error) from error
        if metadata.error is not None:
            message = f"topic {self._topic} does not exist; see: streams topics list"
            raise TopicError(message)
        if partitions is not None:
            return sorted(set(partitions) & set(metadata.partitions))
        if key is not None:
            return [partition_of(key, len(metadata.partitions))]
        return sorted(metadata.partitions)

    def offsets(self, partitions: list[int], position: Position) -> dict[int, int]:
        """Return the offset at a position for each partition, never outside of what there is."""
        try:
            marks = {number: self._watermarks(number) for number in partitions}
            if isinstance(position, Time):
                asked = [TopicPartition(self._topic, number, position.ms) for number in partitions]
                answers = self._consumer.offsets_for_times(asked, timeout=self._timeout) if asked else []
                found = {answer.partition: answer.offset for answer in answers}
                return {number: found[number] if found[number] >= 0 else marks[number][1] for number in partitions}
        except KafkaException as error:
            raise self._silence(error) from error
        if isinstance(position, int):
            return {number: min(max(position, low), high) for number, (low, high) in marks.items()}
        if isinstance(position, Mapping):
            return {number: min(max(position.get(number, 0), low), high) for number, (low, high) in marks.items()}
        return {number: low if position == "earliest" else high for number, (low, high) in marks.items()}

    def assign(self, start: dict[int, int]) -> None:
        """Begin reading partitions at offsets."""
        self._next = dict(start)
        self._consumer.assign([TopicPartition(self._topic, number, offset) for number, offset in start.items()])

    def fetched(self, wait: float) -> list[Message]:
        """Return what has come, after waiting for the first message at most ``wait`` seconds.

        Polling for one and taking the rest avoids the library's wait for a full batch.
        """
        first = self._consumer.poll(wait)
        if first is None:
            if self._contact.suspect and self._contact.lost(self._consumer, self._topic):
                self._renew()
            return []
        if first.error() is None:
            self._reach.answered()
        found = [first, *self._consumer.consume(_BATCH, 0)]
        known: list[Any] = found
        self._next.update((one.partition(), one.offset() + 1) for one in known if one.error() is None)
        return found

    def _renew(self) -> None:
        """Read on with a new client where this one, which has lost the cluster for good, has stopped."""
        _LOG.warning("the reader of %s has lost the brokers: a new one reads on", self._topic)
        self._consumer.close()
        self._connect()
        self.assign(self._next)

    def _awaited(self) -> list[Message]:
        """Return what has come, after waiting for it; BrokerUnavailableError when nothing comes, ReadCancelledError."""
        cancelled = _CANCELLED.get()
        left = self._timeout
        while left > 0:
            if cancelled is not None and cancelled.is_set():
                message = f"the read of {self._topic} was cancelled"
                raise ReadCancelledError(message)
            wait = left if cancelled is None else min(left, _LOOK_S)
            if messages := self.fetched(wait):
                return messages
            left -= wait
        raise self._silence(None)

    def between(self, start: dict[int, int], end: dict[int, int]) -> Iterator[RawRecord]:
        """Yield the records before ``end``; the end-of-partition event shows where only commit markers are left."""
        open_partitions = {number for number in start if start[number] < end[number]}
        self.assign({number: start[number] for number in open_partitions})
        while open_partitions:
            messages: list[Any] = self._awaited()
            for message in messages:
                number, offset = message.partition(), message.offset()
                if number not in open_partitions:
                    continue
                ended = message.error() is not None and _ended(message)
                if ended or offset >= end[number] - 1:
                    open_partitions.discard(number)
                if not ended and offset < end[number]:
                    yield _record(message)

    def _watermarks(self, number: int) -> tuple[int, int]:
        """Return first and next offset; a new partition, or one whose broker is back, has no leader for a moment."""
        pause, cause = threading.Event(), None
        for _ in range(round(self._timeout / _PACE_S) or 1):
            try:
                low, high = self._consumer.get_watermark_offsets(
                    TopicPartition(self._topic, number), timeout=self._timeout
                )
            except KafkaException as error:
                if error.args[0].code() not in _LEADERLESS:
                    raise
                cause = error
            else:
                return low, high
            pause.wait(_PACE_S)
        raise self._silence(cause)

    def _silence(self, error: KafkaException | None) -> BrokerUnavailableError:
        self._consumer.poll(0)  # serves the callback that reports a refused connection
        explained = self._reach.explanation
        cause = f": {explained}" if explained else "" if error is None else f" ({error.args[0].str()})"
        return BrokerUnavailableError(
            f"no broker at {self._bootstrap} answers for topic {self._topic} within {self._timeout:g} s{cause}"
        )


def _ended(message: Message) -> bool:
    """Return whether this is no record but the end of its partition; raises TopicError for any other error."""
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 the library's name
        return True
    raise TopicError(f"{message.topic()}: {error.str()}")


def _header(message: Message, name: str) -> bytes | None:
    """Return the last value of a header, None if the record has none of that name."""
    headers: Any = message.headers() if name else None
    found = next((value for header, value in reversed(headers or ()) if header == name), None)
    return found.encode() if isinstance(found, str) else found


def _record(message: Any) -> RawRecord:
    return RawRecord(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        message.headers() or [],
    )
