"""Where each table and each reaction is on the bus, by partition: they are not all where the partition's offset is.

Workers with different code share a partition over time. One that lacks a table or a reaction goes on with the
partition's events all the same, and writes down at which offset that consumer was left behind. The next owner that has
it reads what it missed from the log, for it alone (`streams.worker.events.catch_up`), and then goes on with all.

A row says `=` for a consumer that is where the partition's committed offset is, else the next offset that it needs.
That may be before the partition's offset (it was left behind) or behind it (it read ahead while batches were open).
A consumer without a row is new: it begins at the partition's offset. The first owner that has it declares it to the
owners of all partitions, so that it begins everywhere at that time, also where older code goes on.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from streams.journal import store_keys
from streams.journal.store_keys import LEDGER
from streams.runtime.commit_unit import CommitUnit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from schemas.consumer import ConsumersDeclared
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.batch import RecordBatch

_IN_STEP: Final = b"="
_NOTHING: Final = sys.maxsize


class ConsumerPositions:
    """The positions of the consumers that this worker's code has, in the assignments that it owns."""

    def __init__(self, consumers: Collection[str], topic: str) -> None:
        """Follow `consumers` of `topic`."""
        self._consumers = tuple(sorted(consumers))
        self._topic = topic
        self._behind: dict[PartitionAssignment, dict[str, int]] = {}  # the next offset of each that is not in step
        self._taken: dict[PartitionAssignment, int] = {}  # the offset behind the last batch that was begun

    def restored(self, owned: PartitionAssignment) -> CommitUnit | None:
        """Read an assignment's rows; return what has to be committed before a batch of it, None if nothing changes."""
        store, applied = owned.stores[LEDGER], max(owned.sources[self._topic].applied, 0)
        rows = {
            key.removeprefix(store_keys.CONSUMER_POSITION).decode(): row
            for key, row in store.scan_committed(store_keys.CONSUMER_POSITION)
        }
        unit = CommitUnit(owned)
        for name, row in rows.items():
            if name not in self._consumers and row == _IN_STEP:
                unit.put(store, _key(name), b"%d" % applied)
        behind: dict[str, int] = {}
        for name in self._consumers:
            if name not in rows:
                unit.put(store, _key(name), _IN_STEP)
            elif rows[name] != _IN_STEP:
                behind[name] = int(rows[name])
        self._behind[owned], self._taken[owned] = behind, applied
        owned.on_death.append(lambda: self._forget(owned))
        return unit if unit.outs else None

    def unknown(self, owned: PartitionAssignment) -> frozenset[str]:
        """Return the consumers that have no row in an assignment: they are new."""
        store = owned.stores[LEDGER]
        return frozenset(name for name in self._consumers if store.get(_key(name)) is None)

    def take(self, batch: RecordBatch, event: ConsumersDeclared) -> None:
        """Let consumers that another worker's code has begin here, at the end of what is taken so far."""
        owned = batch.assignment
        store, position = owned.stores[LEDGER], self._taken.get(owned, 0)
        for name in event.consumers:
            if store.get(_key(name)) is None:
                batch.put(store, _key(name), b"%d" % position)

    def begin(self, batch: RecordBatch) -> dict[str, int]:
        """Take note of a batch that is begun; return the first offset that each consumer out of step handles.

        One that has read as far as the batch begins is in step with the batch's commit.
        """
        owned = batch.assignment
        position, self._taken[owned] = self._taken.get(owned, 0), batch.next
        behind = self._behind.get(owned)
        if not behind:
            return {}
        first = {name: offset if offset >= position else _NOTHING for name, offset in behind.items()}
        for name, offset in first.items():
            if offset <= batch.next:
                batch.put(owned.stores[LEDGER], _key(name), _IN_STEP)
                del behind[name]
        return first

    def late(self, owned: PartitionAssignment) -> tuple[dict[str, int], int]:
        """Return who has to read from the log, from which offset on, and up to which offset."""
        position = self._taken.get(owned, 0)
        behind = self._behind.get(owned, {})
        return {name: offset for name, offset in behind.items() if offset < position}, position

    def advance(self, unit: CommitUnit, names: Collection[str], offset: int) -> None:
        """Note with `unit` that these have handled all before `offset`; it counts from the unit's commit on."""
        owned = unit.assignment
        for name in names:
            unit.put(owned.stores[LEDGER], _key(name), b"%d" % offset)
        unit.on_commit.append(lambda: self._behind.get(owned, {}).update(dict.fromkeys(names, offset)))

    def of(self, owned: PartitionAssignment, consumer: str) -> int | None:
        """Return the next offset of a consumer that is out of step, None for one in step."""
        return self._behind.get(owned, {}).get(consumer)

    def behind(self) -> Mapping[str, int]:
        """Return how many records each consumer has to read from the log, over all assignments."""
        found: dict[str, int] = {}
        for owned in list(self._behind):
            late, position = self.late(owned)
            for name, offset in late.items():
                found[name] = found.get(name, 0) + position - offset
        return found

    def _forget(self, owned: PartitionAssignment) -> None:
        self._behind.pop(owned, None)
        self._taken.pop(owned, None)


def of_table(store: str) -> str:
    """Return the consumer's name of a table by its store, so that another version of its fold is another consumer."""
    return f"table/{store}"


def of_reaction(name: str) -> str:
    """Return the consumer's name of a reaction."""
    return f"reaction/{name}"


def _key(consumer: str) -> bytes:
    return store_keys.CONSUMER_POSITION + consumer.encode()
