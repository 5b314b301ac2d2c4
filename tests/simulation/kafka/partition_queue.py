"""What a producer has for one partition: messages in order, batches under way and batches to be sent again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import KafkaError, Message

from tests.simulation.kafka.partition_log import Headers, LogRecord
from tests.simulation.kafka.transaction_coordinator import ProducerIdentity

UNDER_WAY: Final = 5  # batches at a time
NOWHERE: Final = -1001  # the offset of a message of which it is not known

Report = Callable[[KafkaError | None, Message], Any]


@dataclass(slots=True)
class OutMessage:
    """A message that an application has handed over."""

    topic: str
    record: LogRecord
    report: Report | None
    deadline: float
    number: int = 0  # in its partition

    def delivered(self, partition: int, offset: int) -> Message:
        """Return the message as a delivery report has it."""
        return self._message(partition, offset, None)

    def failed(self, partition: int, error: KafkaError) -> Message:
        """Return the message as a report of its failure has it."""
        return self._message(partition, NOWHERE, error)

    def _message(self, partition: int, offset: int, error: KafkaError | None) -> Message:
        record = self.record
        return Message(
            topic=self.topic,
            partition=partition,
            offset=offset,
            key=record.key,
            value=record.value,
            headers=list(record.headers) or None,
            error=error,
            timestamp=(1, record.timestamp),
        )


@dataclass(slots=True)
class OutBatch:
    """Messages that are sent together; a retry sends the same again."""

    messages: list[OutMessage]
    producer: ProducerIdentity
    sequence: int

    @property
    def last(self) -> int:
        """Return the number of the last message."""
        return self.messages[-1].number


@dataclass(slots=True)
class PartitionQueue:
    """The messages of one partition."""

    topic: str
    partition: int
    pending: deque[OutMessage] = field(default_factory=deque)
    retries: list[OutBatch] = field(default_factory=list)  # in their order
    under_way: list[OutBatch] = field(default_factory=list)
    numbered: int = 0  # messages so far
    first: int = 0  # number of the message that has sequence number 0
    acknowledged: int = 0  # the sequence number that is to be acknowledged next
    waits_until: float = 0.0

    def enqueue(self, message: OutMessage) -> None:
        """Add a message."""
        message.number = self.numbered
        self.numbered += 1
        self.pending.append(message)

    def __len__(self) -> int:
        """Return how many messages have no outcome yet."""
        batches = (*self.retries, *self.under_way)
        return len(self.pending) + sum(len(batch.messages) for batch in batches)

    def next_batch(self, producer: ProducerIdentity, max_bytes: int, max_messages: int) -> OutBatch | None:
        """Return what is to be sent next; a retry goes alone, so that the order is kept."""
        if self.retries:
            return None if self.under_way else self._begin(self.retries.pop(0))
        if not self.pending or len(self.under_way) >= UNDER_WAY:
            return None
        messages, size = [self.pending.popleft()], 0
        size = messages[0].record.size()
        while self.pending and len(messages) < max_messages and size + self.pending[0].record.size() <= max_bytes:
            messages.append(self.pending.popleft())
            size += messages[-1].record.size()
        return self._begin(OutBatch(messages, producer, messages[0].number - self.first))

    def _begin(self, batch: OutBatch) -> OutBatch:
        self.under_way.append(batch)
        return batch

    def retry(self, batch: OutBatch) -> None:
        """Send a batch again later, before all younger ones."""
        if batch in self.under_way:
            self.under_way.remove(batch)
            self.retries.append(batch)
            self.retries.sort(key=lambda one: one.messages[0].number)

    def acknowledge(self, batch: OutBatch) -> list[OutBatch]:
        """Take a batch out that the broker has; return earlier ones, which are thereby taken for acknowledged."""
        self.under_way.remove(batch)
        self.acknowledged = max(self.acknowledged, batch.sequence + len(batch.messages))
        earlier = [one for one in self.retries if one.last <= batch.last]
        self.retries = [one for one in self.retries if one.last > batch.last]
        return earlier

    def renumber(self, producer: ProducerIdentity) -> None:
        """Begin with sequence number 0 again, for a new identity; nothing may be under way."""
        batches = self.retries
        self.first = batches[0].messages[0].number if batches else self._next_number()
        for batch in batches:
            batch.producer, batch.sequence = producer, batch.messages[0].number - self.first
        self.acknowledged = 0

    def _next_number(self) -> int:
        return self.pending[0].number if self.pending else self.numbered

    def expire(self, now: float) -> list[OutMessage]:
        """Take out what has waited too long and is not under way."""
        late = [message for message in self.pending if message.deadline <= now]
        if late:
            self.pending = deque(message for message in self.pending if message.deadline > now)
        for batch in list(self.retries):
            if batch.messages[0].deadline <= now:
                late += batch.messages
                self.retries.remove(batch)
        return late

    def purge(self, *, under_way: bool) -> tuple[list[OutMessage], list[OutMessage]]:
        """Take out all that waits, and what is under way if asked; return both."""
        waiting = [message for batch in self.retries for message in batch.messages] + list(self.pending)
        if self.pending:
            self.numbered = self.pending[0].number  # what was never sent leaves no gap
        self.pending.clear()
        self.retries.clear()
        flying = [message for batch in self.under_way for message in batch.messages] if under_way else []
        if under_way:
            self.under_way.clear()
        return waiting, flying


def headers_of(given: object) -> Headers:
    """Return headers as they lie on the log."""
    if not given:
        return ()
    pairs: Sequence[tuple[str, Any]] = list(given.items()) if isinstance(given, dict) else list(given)  # type: ignore[call-overload]
    return tuple((name, value.encode() if isinstance(value, str) else value) for name, value in pairs)
