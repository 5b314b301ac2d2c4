"""Runs that have blocked the event loop: counted over all workers, and failed instead of tried for ever.

Each time, the loop monitor has written a row into the journal's changelog. Its key has the run's id, so that the rows
are restored with the journal, by whichever worker owns the partition next.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from streams.worker.errors import LoopBlockedError
from streams.worker.journal import LEDGER

if TYPE_CHECKING:
    from streams.worker.runs.desk import Live
    from streams.worker.state.slice import Slice
    from streams.worker.state.unit import Unit

BLOCKED: Final = b"l/"  # rows: l/<run id>/<unique>, JSON with the agent, the line and the seconds
MOST_BLOCKS: Final = 3  # after so many the run fails, until somebody resumes it


class BlockedRuns:
    """The rows of the partitions that are here."""

    def __init__(self) -> None:
        """Know no partition yet."""
        self._rows: dict[tuple[Slice, str], dict[bytes, bytes]] = defaultdict(dict)

    def restored(self, owned: Slice) -> None:
        """Read the rows of a restored slice; call before any of its runs is started."""
        for key, row in owned.stores[LEDGER].scan_committed(BLOCKED):
            run_id = key[len(BLOCKED) :].decode().rpartition("/")[0]
            self._rows[owned, run_id][key] = row
        owned.on_death.append(lambda: self._forget(owned))

    def refuses(self, owned: Slice, run_id: str) -> LoopBlockedError | None:
        """Return why a run must not be started, None if it may be."""
        rows = self._rows.get((owned, run_id))
        if rows is None or len(rows) < MOST_BLOCKS:
            return None
        last = json.loads(list(rows.values())[-1])
        return LoopBlockedError(
            f"the run has blocked the event loop of its worker {len(rows)} times, each for {last['seconds']:g} s, at "
            f"{last['where']}: move that code into run.step() of a plain function, then resume the run"
        )

    def ended(self, live: Live, unit: Unit) -> None:
        """Delete the rows of a run with its end: if it is resumed, it is counted anew."""
        for key in self._rows.pop((live.slice, live.run_id), ()):
            unit.put(live.slice.stores[LEDGER], key, None)

    def _forget(self, owned: Slice) -> None:
        for name in [name for name in self._rows if name[0] is owned]:
            del self._rows[name]
