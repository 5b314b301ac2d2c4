"""The transaction coordinator: producer ids and epochs, open transactions, their ends, their time-outs.

As a broker of Kafka 4 treats clients that end transactions by EndTxn of version 1 or older, as librdkafka does: the
answer comes once the end is decided, markers follow, and until they are all written the id is busy
(CONCURRENT_TRANSACTIONS). With `bumps_epochs` each end raises the epoch, as KIP-890 has it for newer clients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Final, NamedTuple, Protocol

from confluent_kafka import KafkaError

from tests.simulation.kafka.errors import RefusedError

_LARGEST_EPOCH: Final = 32_766

Partition = tuple[str, int]


class TransactionState(Enum):
    """The states of a transactional id, by Kafka's names."""

    EMPTY = "Empty"
    ONGOING = "Ongoing"
    PREPARE_COMMIT = "PrepareCommit"
    PREPARE_ABORT = "PrepareAbort"
    COMPLETE_COMMIT = "CompleteCommit"
    COMPLETE_ABORT = "CompleteAbort"


class ProducerIdentity(NamedTuple):
    """A producer's id and epoch."""

    id: int
    epoch: int


@dataclass(slots=True)
class TransactionEntry:
    """What the coordinator knows of a transactional id."""

    producer: ProducerIdentity
    timeout_s: float
    state: TransactionState = TransactionState.EMPTY
    partitions: set[Partition] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    began: float = 0.0
    unmarked: set[Partition] = field(default_factory=set)  # what has yet to get its marker
    unmarked_groups: set[str] = field(default_factory=set)
    fences: bool = False  # the end raises the epoch, since a newer producer or the time-out asked for it


class MarkerWriter(Protocol):
    """Writes the markers of a transaction, each at a moment of its own, again until it is written."""

    def write_marker(
        self, partition: Partition, producer: ProducerIdentity, commit: bool, done: Callable[[], None]
    ) -> None:
        """Append a marker to a partition."""

    def end_group_offsets(self, group: str, producer: ProducerIdentity, commit: bool, done: Callable[[], None]) -> None:
        """Let a group's pending offsets count, or drop them."""


class TransactionCoordinator:
    """All transactional ids of a cluster; which broker answers for which is the cluster's affair."""

    def __init__(self, markers: MarkerWriter, now: Callable[[], float], *, bumps_epochs: bool) -> None:
        """Begin without any id."""
        self._markers = markers
        self._now = now
        self._bumps = bumps_epochs
        self._next_id = 1000
        self.entries: dict[str, TransactionEntry] = {}
        self.ended: dict[str, int] = {"commit": 0, "abort": 0, "time-out": 0, "fenced": 0}

    def new_producer(self) -> ProducerIdentity:
        """Return an identity for a producer without transactions."""
        self._next_id += 1
        return ProducerIdentity(self._next_id, 0)

    def open(self, name: str, timeout_s: float, former: ProducerIdentity | None = None) -> ProducerIdentity:
        """Handle InitProducerId: fence whoever has the id, end what it left open, give out the next epoch.

        With `former` a producer asks for a new epoch of its own, and is refused when it is not the last one.
        """
        entry = self.entries.get(name)
        if entry is None:
            entry = self.entries[name] = TransactionEntry(self.new_producer(), timeout_s)
            return entry.producer
        if former is not None and former != entry.producer:
            raise RefusedError(KafkaError.PRODUCER_FENCED)
        if entry.state in (TransactionState.PREPARE_COMMIT, TransactionState.PREPARE_ABORT):
            raise RefusedError(KafkaError.CONCURRENT_TRANSACTIONS)
        if entry.state is TransactionState.ONGOING:
            self.ended["fenced"] += 1
            self._prepare(entry, commit=False, fences=True)
            raise RefusedError(KafkaError.CONCURRENT_TRANSACTIONS)
        entry.timeout_s = timeout_s
        entry.producer = self._following(entry.producer)
        entry.state = TransactionState.EMPTY
        return entry.producer

    def add_partitions(self, name: str, producer: ProducerIdentity, partitions: set[Partition]) -> None:
        """Handle AddPartitionsToTxn."""
        self._begin(name, producer).partitions |= partitions

    def add_group(self, name: str, producer: ProducerIdentity, group: str) -> None:
        """Handle AddOffsetsToTxn."""
        self._begin(name, producer).groups.add(group)

    def require_partition(self, name: str, producer: ProducerIdentity, partition: Partition) -> None:
        """Refuse records of a partition that is not in an open transaction (KIP-890, verification)."""
        entry = self.entries.get(name)
        if entry is None or entry.producer.id != producer.id:
            raise RefusedError(KafkaError.INVALID_PRODUCER_ID_MAPPING)
        if entry.producer.epoch != producer.epoch:
            raise RefusedError(KafkaError.INVALID_PRODUCER_EPOCH)
        if entry.state is not TransactionState.ONGOING or partition not in entry.partitions:
            raise RefusedError(KafkaError.INVALID_TXN_STATE)

    def require_group(self, name: str, producer: ProducerIdentity, group: str) -> None:
        """Refuse offsets of a group that is not in an open transaction (KIP-890, verification)."""
        entry = self._known(name, producer)
        if entry.state is not TransactionState.ONGOING or group not in entry.groups:
            raise RefusedError(KafkaError.INVALID_TXN_STATE)

    def end(self, name: str, producer: ProducerIdentity, *, commit: bool) -> ProducerIdentity:
        """Handle EndTxn; an end that is repeated is answered as the first one."""
        entry = self._known(name, producer)
        wanted = TransactionState.COMPLETE_COMMIT if commit else TransactionState.COMPLETE_ABORT
        preparing = TransactionState.PREPARE_COMMIT if commit else TransactionState.PREPARE_ABORT
        if entry.state is wanted:
            return entry.producer
        if entry.state is preparing:
            raise RefusedError(KafkaError.CONCURRENT_TRANSACTIONS)
        if entry.state is not TransactionState.ONGOING:
            raise RefusedError(KafkaError.INVALID_TXN_STATE)
        self.ended["commit" if commit else "abort"] += 1
        self._prepare(entry, commit=commit, fences=self._bumps)
        return entry.producer

    def abort_expired(self, is_served: Callable[[str], bool]) -> None:
        """Abort what is open for longer than its producer asked for, and fence that producer."""
        for name, entry in self.entries.items():
            late = entry.state is TransactionState.ONGOING and self._now() - entry.began > entry.timeout_s
            if late and is_served(name):
                self.ended["time-out"] += 1
                self._prepare(entry, commit=False, fences=True)

    def _known(self, name: str, producer: ProducerIdentity) -> TransactionEntry:
        entry = self.entries.get(name)
        if entry is None or entry.producer.id != producer.id:
            raise RefusedError(KafkaError.INVALID_PRODUCER_ID_MAPPING)
        if entry.producer.epoch != producer.epoch:
            raise RefusedError(KafkaError.INVALID_PRODUCER_EPOCH)
        return entry

    def _begin(self, name: str, producer: ProducerIdentity) -> TransactionEntry:
        entry = self._known(name, producer)
        if entry.state in (TransactionState.PREPARE_COMMIT, TransactionState.PREPARE_ABORT):
            raise RefusedError(KafkaError.CONCURRENT_TRANSACTIONS)
        if entry.state is not TransactionState.ONGOING:
            entry.state, entry.began = TransactionState.ONGOING, self._now()
            entry.partitions, entry.groups = set(), set()
        return entry

    def _prepare(self, entry: TransactionEntry, *, commit: bool, fences: bool) -> None:
        entry.state = TransactionState.PREPARE_COMMIT if commit else TransactionState.PREPARE_ABORT
        if fences:
            entry.producer = self._following(entry.producer)
        entry.unmarked, entry.unmarked_groups = set(entry.partitions), set(entry.groups)
        self._write(entry)

    def _write(self, entry: TransactionEntry) -> None:
        commit, producer = entry.state is TransactionState.PREPARE_COMMIT, entry.producer
        for partition in sorted(entry.unmarked):
            self._markers.write_marker(partition, producer, commit, partial(self._marked, entry, producer, partition))
        for group in sorted(entry.unmarked_groups):
            self._markers.end_group_offsets(group, producer, commit, partial(self._marked, entry, producer, group))
        self._complete(entry)

    def _marked(self, entry: TransactionEntry, producer: ProducerIdentity, written: Partition | str) -> None:
        if entry.producer != producer:
            return
        if isinstance(written, str):
            entry.unmarked_groups.discard(written)
        else:
            entry.unmarked.discard(written)
        self._complete(entry)

    @staticmethod
    def _complete(entry: TransactionEntry) -> None:
        if entry.unmarked or entry.unmarked_groups:
            return
        if entry.state is TransactionState.PREPARE_COMMIT:
            entry.state = TransactionState.COMPLETE_COMMIT
        elif entry.state is TransactionState.PREPARE_ABORT:
            entry.state = TransactionState.COMPLETE_ABORT

    def _following(self, producer: ProducerIdentity) -> ProducerIdentity:
        if producer.epoch >= _LARGEST_EPOCH:
            return self.new_producer()
        return ProducerIdentity(producer.id, producer.epoch + 1)
