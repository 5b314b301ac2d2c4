"""Runs and events whose code has blocked the event loop: counted over all workers, and given up after some times.

Each time, the loop monitor has written a row into the journal's changelog. Its key names the run or the event, and the
rows are restored with the journal, by whichever worker owns the partition next.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from streams.journal import store_keys
from streams.journal.errors import LoopBlockedError
from streams.journal.store_keys import LEDGER

if TYPE_CHECKING:
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.commit_unit import CommitUnit

MOST_BLOCKS: Final = 3  # after so many a run fails, until somebody resumes it, and an event is a dead letter


class BlockedCode:
    """The rows of the partitions that are here."""

    def __init__(self) -> None:
        """Begin without a partition."""
        self._rows: dict[tuple[PartitionAssignment, str], dict[bytes, bytes]] = defaultdict(dict)

    def restored(self, owned: PartitionAssignment) -> None:
        """Read the rows of a restored assignment; call before any code is called for it."""
        for key, row in owned.stores[LEDGER].scan_committed(store_keys.BLOCKED_CODE):
            name = key[len(store_keys.BLOCKED_CODE) :].decode().rpartition("/")[0]
            self._rows[owned, name][key] = row
        owned.on_death.append(lambda: self._forget(owned))

    def refuses_run(self, owned: PartitionAssignment, run_id: str) -> LoopBlockedError | None:
        """Return why a run must not be started, None if it may be."""
        why = self._refuses(owned, f"run/{run_id}")
        return (
            None
            if why is None
            else LoopBlockedError(
                f"the run has {why}: move that code into run.step() of a plain function, then resume the run"
            )
        )

    def refuses_event(self, owned: PartitionAssignment, name: str) -> LoopBlockedError | None:
        """Return why an event must not be handled, None if it may be; `name` is that of `event_name`."""
        why = self._refuses(owned, f"event/{name}")
        return (
            None
            if why is None
            else LoopBlockedError(f"the event has {why}: make the function a plain one, then redrive the dead letter")
        )

    def run_ended(self, run_id: str, unit: CommitUnit) -> None:
        """Delete the rows of a run with its end: if it is resumed, it is counted anew."""
        self._delete(unit, f"run/{run_id}")

    def event_ended(self, unit: CommitUnit, name: str) -> None:
        """Delete the rows of an event that is handled or given up."""
        self._delete(unit, f"event/{name}")

    def _refuses(self, owned: PartitionAssignment, name: str) -> str | None:
        rows = self._rows.get((owned, name))
        if rows is None or len(rows) < MOST_BLOCKS:
            return None
        last = json.loads(list(rows.values())[-1])
        return (
            f"blocked the event loop of its worker {len(rows)} times, the last time for {last['seconds']:g} s at "
            f"{last['where']}"
        )

    def _delete(self, unit: CommitUnit, name: str) -> None:
        for key in self._rows.pop((unit.assignment, name), ()):
            unit.put(unit.assignment.stores[LEDGER], key, None)

    def _forget(self, owned: PartitionAssignment) -> None:
        for name in [name for name in self._rows if name[0] is owned]:
            del self._rows[name]


def event_name(topic: str | None, offset: int | None, consumer: str) -> str:
    """Return the name of an event and of who handles it."""
    return f"{topic}/{offset}/{consumer}"
