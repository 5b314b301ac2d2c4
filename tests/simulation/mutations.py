"""Faults that are planted on purpose: each switches a rule of the protocol off, and the simulator must find it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streams.runtime import client_config
from streams.runtime.assignment import PartitionAssignment
from streams.runtime.assignment_lifecycle import AssignmentLifecycle
from streams.runtime.changelogs import ChangelogReader
from streams.runtime.committer import Committer
from streams.runtime.consumer_thread import ConsumerThread
from streams.runtime.errors import TransactionAbortedError
from streams.runtime.group_snapshot import GroupSnapshot
from streams.runtime.restore import Restorer
from streams.runtime.transactions import TransactionalProducer

MUTATIONS: dict[str, Callable[[], None]] = {}


def plant(name: str) -> None:
    """Switch a rule off in this process."""
    MUTATIONS[name]()


def _mutation(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def keep(plants: Callable[[], None]) -> Callable[[], None]:
        MUTATIONS[name] = plants
        return plants

    return keep


@_mutation("T3-offsets")
def _no_offset() -> None:
    """Send no offset in a transaction that moves none."""
    original = Committer._offsets

    def offsets(self: Any, units: Sequence[Any]) -> Any:
        found, rows = original(self, units)
        moved = {(move[0], unit.assignment.partition) for unit in units if (move := unit.moves()) is not None}
        return {place: offset for place, offset in found.items() if place in moved}, rows

    Committer._offsets = offsets  # type: ignore[method-assign]


@_mutation("T4-assignments")
def _undead() -> None:
    """Let an assignment live on that is lost."""
    PartitionAssignment.kill = lambda _self: None  # type: ignore[method-assign,assignment]


@_mutation("T4-drain")
def _no_drain() -> None:
    """Let a revocation wait for nothing."""
    AssignmentLifecycle.leave = lambda _self, _gone: None  # type: ignore[method-assign,assignment]


@_mutation("T5-metadata")
def _late_metadata() -> None:
    """Commit with the latest metadata and the assignments of an earlier look."""
    original = Committer._transact

    def transact(self: Any, units: Any, snapshot: GroupSnapshot, careful: bool) -> None:
        original(self, units, GroupSnapshot(self._owner.snapshot.metadata, snapshot.live), careful)

    Committer._transact = transact  # type: ignore[method-assign]
    PartitionAssignment.kill = lambda _self: None  # type: ignore[method-assign,assignment]


@_mutation("T5-memberless")
def _memberless() -> None:
    """Commit with metadata without a member."""
    from tests.simulation.kafka.group_metadata import ConsumerGroupMetadata

    original = ConsumerThread._publish

    def publish(self: Any) -> None:
        original(self)
        if (found := self.snapshot.metadata) is not None:
            self.snapshot = GroupSnapshot(ConsumerGroupMetadata(found.group), self.snapshot.live)

    ConsumerThread._publish = publish  # type: ignore[method-assign]
    PartitionAssignment.kill = lambda _self: None  # type: ignore[method-assign,assignment]


@_mutation("T6-stable")
def _unstable() -> None:
    """Restore from committed offsets without waiting for pending ones."""
    original = client_config.reader

    def reader(client: Any, group: str) -> Any:
        return original(client, group) | {"isolation.level": "read_uncommitted"}

    def committed(self: Any, owned: Any) -> Any:
        client_config.reader = reader
        try:
            return ask(self, owned)
        finally:
            client_config.reader = original

    ask = Restorer._committed
    Restorer._committed = committed  # type: ignore[method-assign]


@_mutation("T6-order")
def _watermark_first() -> None:
    """Take the watermarks before the committed offsets."""

    def restore(self: Any, owned: Any) -> None:
        readings = self._changelogs.readings(owned)
        committed = self._committed(owned)
        if not any(one.live for one in owned):
            return
        self._read(readings)
        for one in owned:
            if one.live:
                self._starts(one, committed)

    Restorer.restore = restore  # type: ignore[method-assign]


@_mutation("T6-lso")
def _to_lso() -> None:
    """Restore to the last stable offset."""
    original = ChangelogReader.take

    def take(self: Any, reader: Any, open_: Any, seconds: float) -> int:
        before = {place: reading.position for place, reading in open_.items()}
        count = original(self, reader, open_, seconds)
        if not count:
            for place, reading in open_.items():
                if reading.position == before[place]:
                    reading.end = reading.position
        return count

    ChangelogReader.take = take  # type: ignore[method-assign]


@_mutation("T7-store-first")
def _store_first() -> None:
    """Write the store before the commit."""
    first = Committer._transact

    def transact(self: Any, units: Any, snapshot: GroupSnapshot, careful: bool) -> None:
        by_owner: dict[Any, list[Any]] = {}
        for unit in units:
            by_owner.setdefault(unit.assignment, []).extend(unit.writes)
        for owned, rows in by_owner.items():
            if owned.db is not None and rows:
                owned.db.apply(rows, ())
        first(self, units, snapshot, careful)

    Committer._transact = transact  # type: ignore[method-assign]


@_mutation("T8-proof")
def _unproven() -> None:
    """Start effects without a young proof of ownership."""
    Committer.proven = lambda _self: True  # type: ignore[method-assign,assignment]


@_mutation("T9-timeout")
def _assume() -> None:
    """Take a commit that times out for a failure, and send its units again."""
    from confluent_kafka import KafkaException

    original = TransactionalProducer._patiently

    def patiently(self: Any, call: Callable[[], object]) -> None:
        try:
            call()
        except KafkaException as error:
            if not error.args[0].retriable():
                raise
            original(self, call)
            raise TransactionAbortedError("taken for a failure") from error

    TransactionalProducer._patiently = patiently  # type: ignore[method-assign]


@_mutation("T11-uncommitted")
def _uncommitted() -> None:
    """Read sources and changelogs uncommitted."""
    fetcher, reader = client_config.fetcher, client_config.reader
    loose = {"isolation.level": "read_uncommitted"}
    client_config.fetcher = lambda client, group: fetcher(client, group) | loose
    client_config.reader = lambda client, group: reader(client, group) | loose
