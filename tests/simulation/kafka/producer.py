"""The producer of the client library: queues, batches, retries, idempotence, delivery reports and time-outs."""

from __future__ import annotations

import random
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message

from tests.simulation.kafka.broker_api import ProduceBatch
from tests.simulation.kafka.client import Client, answering
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.errors import RefusedError, failure, kafka_error
from tests.simulation.kafka.links import Unanswered
from tests.simulation.kafka.partition_log import LogRecord
from tests.simulation.kafka.partition_queue import (
    NOWHERE,
    OutBatch,
    OutMessage,
    PartitionQueue,
    Report,
    headers_of,
)
from tests.simulation.kafka.timing import Waiter
from tests.simulation.kafka.transaction_coordinator import ProducerIdentity
from topics.partition import partition_of

_LOOK_S: Final = 1.0  # between two looks for messages that have waited too long
_NOBODY: Final = ProducerIdentity(-1, -1)
_OVERHEAD: Final = 512  # bytes that the library adds to a message when it judges its size
#: Refusals of a batch after which it is sent again.
_AGAIN: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.REQUEST_TIMED_OUT,
    }
)


class SimulatedProducer(Client):
    """A producer without transactions; `TransactionalProducer` adds them."""

    def __init__(
        self,
        cluster: Cluster,
        waiter: Waiter,
        chance: random.Random,
        process: str,
        config: dict[str, Any],
        error_cb: Callable[[KafkaError], None] | None,
        wall: Callable[[], float],
    ) -> None:
        """Connect, and ask for a producer id if the producer is idempotent; `wall` gives timestamps."""
        super().__init__(cluster, waiter, chance, process, config, error_cb)
        self._wall = wall
        self._transactional_id: str | None = config.get("transactional.id")
        self._idempotent = self._flag("enable.idempotence", default=False) or self._transactional_id is not None
        self._queues: dict[tuple[str, int], PartitionQueue] = {}
        self._unplaced: dict[str, deque[OutMessage]] = {}  # their topic's partitions are not known yet
        self._unknown_since: dict[str, float] = {}
        self._reports: deque[Callable[[], None]] = deque()
        self._identity: ProducerIdentity | None = None if self._idempotent else _NOBODY
        self._bumping = False
        self.fatal: KafkaError | None = None
        self._default_report: Report | None = config.get("on_delivery")
        if self._idempotent and self._transactional_id is None:
            self._acquire()
        waiter.schedule(waiter.now() + _LOOK_S, self._look)

    # -- the application's calls

    def produce(  # noqa: PLR0917 - the library's order
        self,
        topic: str,
        value: bytes | str | None = None,
        key: bytes | str | None = None,
        partition: int = -1,
        callback: Report | None = None,
        on_delivery: Report | None = None,
        timestamp: int = 0,
        headers: object = None,
    ) -> None:
        """Hand over a message; raises KafkaException or BufferError as the library does."""
        self._require_open()
        record = LogRecord(_bytes(key), _bytes(value), headers_of(headers), timestamp or int(self._wall() * 1000))
        if record.size() > self._ms("message.max.bytes", 1_000_000) - _OVERHEAD:
            raise failure(KafkaError.MSG_SIZE_TOO_LARGE, "Unable to produce message: Message size too large")
        if len(self) >= self._ms("queue.buffering.max.messages", 100_000):
            raise BufferError("Local: Queue full")
        timeout_s = self._ms("message.timeout.ms", 300_000) / 1000
        report = callback or on_delivery or self._default_report
        message = OutMessage(topic, record, report, self._waiter.now() + timeout_s)
        known = self._topics.get(topic)
        if known is not None and partition >= len(known):
            raise failure(KafkaError._UNKNOWN_PARTITION)
        if known is None and topic in self._topics and self._is_given_up(topic):
            raise failure(KafkaError._UNKNOWN_TOPIC)
        self._wanted.add(topic)
        if partition >= 0:
            self._enqueue(message, partition)
        elif known:
            self._enqueue(message, self._choose(record.key, len(known)))
        else:
            self._unplaced.setdefault(topic, deque()).append(message)
            self._stale()

    def poll(self, timeout: float = -1) -> int:
        """Run the callbacks that are due, after waiting for the first one."""
        until = None if timeout is None or timeout < 0 else self._waiter.now() + timeout
        self._waiter.wait(until, lambda: bool(self._reports or self._callbacks))
        return self._serve()

    def flush(self, timeout: float = -1) -> int:
        """Wait until every message has its report; return how many have none."""
        until = None if timeout is None or timeout < 0 else self._waiter.now() + timeout
        while len(self):
            if not self._waiter.wait(until, lambda: bool(self._reports or self._callbacks) or not len(self)):
                break
            self._serve()
        self._serve()
        return len(self)

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        """Fail all messages that wait, and those under way, of which nobody knows whether they are written."""
        for queue in self._queues.values():
            waiting, flying = queue.purge(under_way=in_flight)
            self._fail(queue.partition, waiting, kafka_error(KafkaError._PURGE_QUEUE))
            self._fail(queue.partition, flying, kafka_error(KafkaError._PURGE_INFLIGHT))
            if flying:
                self._bump(KafkaError._PURGE_INFLIGHT)
        for messages in self._unplaced.values():
            self._fail(-1, list(messages), kafka_error(KafkaError._PURGE_QUEUE))
        self._unplaced.clear()

    def close(self, timeout: float = -1) -> bool:
        """Flush and end."""
        done = self.flush(timeout) == 0
        self._shut()
        return done

    def __len__(self) -> int:
        """Return how many messages and callbacks wait."""
        waiting = sum(map(len, self._queues.values())) + sum(map(len, self._unplaced.values()))
        return waiting + len(self._reports)

    def __bool__(self) -> bool:
        """Tell that it is there, whatever its length."""
        return True

    # -- queues

    def _require_open(self) -> None:
        if self.fatal is not None:
            raise failure(KafkaError._FATAL, f"Unable to produce message: {self.fatal.str()}", fatal=True)

    def _enqueue(self, message: OutMessage, partition: int) -> None:
        place = (message.topic, partition)
        queue = self._queues.get(place)
        if queue is None:
            queue = self._queues[place] = PartitionQueue(message.topic, partition)
        queue.enqueue(message)
        if len(queue.pending) == 1:  # what is handed over in one go is sent together
            self._waiter.schedule(self._waiter.now() + self._ms("linger.ms", 5) / 1000, lambda: self._pump(queue))

    def _choose(self, key: bytes | None, count: int) -> int:
        if self._config.get("partitioner") in ("murmur2", "murmur2_random"):
            if key is not None:
                return partition_of(key, count)
        elif key:
            return zlib.crc32(key) % count
        return self._chance.randrange(count)

    def _metadata_changed(self) -> None:
        now = self._waiter.now()
        for topic in list(self._unplaced):
            known = self._topics.get(topic)
            if known:
                self._unknown_since.pop(topic, None)
                for message in self._unplaced.pop(topic):
                    self._enqueue(message, self._choose(message.record.key, len(known)))
        for topic in self._wanted:
            if self._topics.get(topic) is None and topic in self._topics:
                self._unknown_since.setdefault(topic, now)
            else:
                self._unknown_since.pop(topic, None)
        for place, queue in self._queues.items():
            known = self._topics.get(place[0])
            if known and place[1] >= len(known):
                waiting, _ = queue.purge(under_way=False)
                self._fail(place[1], waiting, kafka_error(KafkaError._UNKNOWN_PARTITION))
            self._pump(queue)

    def _is_given_up(self, topic: str) -> bool:
        limit = self._ms("topic.metadata.propagation.max.ms", 30_000) / 1000
        return self._waiter.now() - self._unknown_since.get(topic, self._waiter.now()) >= limit

    def _pump(self, queue: PartitionQueue) -> None:
        """Send what can be sent of a partition."""
        now = self._waiter.now()
        if queue.waits_until > now:
            self._waiter.schedule(queue.waits_until, lambda: self._pump(queue))
            return
        self._expire(queue, now)
        identity, place = self._identity, (queue.topic, queue.partition)
        if self._is_halted() or identity is None or not len(queue) or not self._may_send(place):
            return
        leader = self._leader(place)
        if leader is None:
            return
        while batch := queue.next_batch(identity, int(self._ms("batch.size", 1_000_000)), 10_000):
            self._send(queue, batch, leader)

    def _is_halted(self) -> bool:
        return self._closed or self._bumping or self.fatal is not None

    def _expire(self, queue: PartitionQueue, now: float) -> None:
        """Fail what has waited too long."""
        late = queue.expire(now)
        if late:
            self._fail(queue.partition, late, kafka_error(KafkaError._MSG_TIMED_OUT))
            self._expired(queue)

    def _may_send(self, place: tuple[str, int]) -> bool:
        """Tell whether a partition is in the transaction; without transactions each one may be sent to."""
        return True

    def _pump_all(self) -> None:
        for queue in list(self._queues.values()):
            self._pump(queue)

    def _send(self, queue: PartitionQueue, batch: OutBatch, leader: int) -> None:
        place = (queue.topic, queue.partition)
        wire = ProduceBatch(
            place,
            [message.record for message in batch.messages],
            batch.producer,
            batch.sequence if self._idempotent else -1,
            self._transactional_id,
        )
        left = max(batch.messages[0].deadline - self._waiter.now(), 0.1)
        limit = min(self._ms("socket.timeout.ms", 60_000) / 1000, left)
        self._links.send(
            leader,
            "Produce",
            answering(lambda api: api.produce(wire)),
            lambda answer: self._sent(queue, batch, answer),
            limit,
        )

    # -- outcomes

    def _sent(self, queue: PartitionQueue, batch: OutBatch, answer: Any) -> None:
        if self._closed or batch not in queue.under_way:
            return  # purged meanwhile
        if isinstance(answer, int):
            for earlier in queue.acknowledge(batch):
                self._succeed(queue.partition, earlier.messages, None)
            self._succeed(queue.partition, batch.messages, answer)
        elif isinstance(answer, Unanswered) or (isinstance(answer, RefusedError) and answer.code in _AGAIN):
            if isinstance(answer, RefusedError):
                self._stale(queue.topic)
            self._retry(queue, batch)
        else:
            self._refused(queue, batch, answer)
        self._finish_bump()
        self._pump(queue)

    def _retry(self, queue: PartitionQueue, batch: OutBatch) -> None:
        queue.retry(batch)
        queue.waits_until = self._waiter.now() + self._ms("retry.backoff.ms", 100) / 1000

    def _refused(self, queue: PartitionQueue, batch: OutBatch, answer: RefusedError) -> None:
        if answer.code == KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER and self._idempotent:
            if batch.sequence > queue.acknowledged:  # an earlier one failed: both are sent again
                self._retry(queue, batch)
                self._bump(answer.code)
                return
            self._set_fatal(kafka_error(answer.code, "sequence desynchronization with the broker", fatal=True))
        queue.under_way.remove(batch)
        error = kafka_error(answer.code, answer.reason or None)
        self._fail(queue.partition, batch.messages, error)
        self._spoiled(answer.code, f"ProduceRequest for {queue.topic} [{queue.partition}] failed: {error.str()}")

    def _spoiled(self, code: int, reason: str) -> None:
        """React to a batch that failed for good: the next one would leave a gap in the sequence numbers."""
        self._bump(code)

    def _succeed(self, partition: int, messages: list[OutMessage], offset: int | None) -> None:
        for index, message in enumerate(messages):
            place = NOWHERE if offset is None else offset + index
            self._add_report(message, None, message.delivered(partition, place))

    def _fail(self, partition: int, messages: list[OutMessage], error: KafkaError) -> None:
        for message in messages:
            self._add_report(message, error, message.failed(partition, error))

    def _add_report(self, message: OutMessage, error: KafkaError | None, told: Message) -> None:
        report = message.report
        self._reports.append(lambda: None if report is None else report(error, told))

    def _serve(self) -> int:
        count = super()._serve()
        while self._reports:
            self._reports.popleft()()
            count += 1
        return count

    # -- identity

    def _acquire(self) -> None:
        """Ask a broker for a producer id, for as long as it takes."""
        exchange = self._exchange(
            "InitProducerId", self._any_broker, lambda api: api.init_producer(None, 0, None), timeout_s=float("inf")
        )
        exchange.then(self._acquired)

    def _acquired(self, answer: Any) -> None:
        if isinstance(answer, ProducerIdentity):
            self._identity, self._bumping = answer, False
            for queue in self._queues.values():
                queue.renumber(answer)
            self._pump_all()
        else:
            self._set_fatal(kafka_error(answer.code, fatal=True))

    def _bump(self, code: int) -> None:
        """Take a new identity once nothing is under way."""
        if self._idempotent and not self._bumping and self.fatal is None:
            self._bumping = True
            self._finish_bump()

    def _finish_bump(self) -> None:
        if self._bumping and self._identity is not None and not any(one.under_way for one in self._queues.values()):
            self._identity = None
            self._acquire()

    def _set_fatal(self, error: KafkaError) -> None:
        if self.fatal is None:
            self.fatal = error

            def crash() -> None:
                raise KafkaException(error)

            self._callbacks.append(crash)  # the binding raises it in the next call that serves callbacks

    # -- time-outs

    def _look(self) -> None:
        """Fail what has waited too long."""
        if self._closed:
            return
        now = self._waiter.now()
        for place, queue in self._queues.items():
            self._expire(queue, now)
            if place[0] in self._unknown_since and self._is_given_up(place[0]):
                waiting, _ = queue.purge(under_way=False)
                self._fail(place[1], waiting, kafka_error(KafkaError.UNKNOWN_TOPIC_OR_PART))
        for topic in list(self._unplaced):
            self._look_at_unplaced(topic, now)
        if self._unplaced or any(len(queue) for queue in self._queues.values()):
            self._stale()
        self._waiter.schedule(now + _LOOK_S, self._look)

    def _look_at_unplaced(self, topic: str, now: float) -> None:
        """Fail messages of a topic whose partitions are not known in time, or that does not exist."""
        unknown = self._is_given_up(topic)
        waiting, late = deque[OutMessage](), []
        for message in self._unplaced.pop(topic):
            if unknown or message.deadline <= now:
                late.append(message)
            else:
                waiting.append(message)
        code = KafkaError.UNKNOWN_TOPIC_OR_PART if unknown else KafkaError._MSG_TIMED_OUT
        self._fail(-1, late, kafka_error(code))
        if waiting:
            self._unplaced[topic] = waiting

    def _expired(self, queue: PartitionQueue) -> None:
        """React to messages that timed out: those before them may be written, so the numbers begin anew."""
        self._bump(KafkaError._TIMED_OUT)


def _bytes(value: bytes | str | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
