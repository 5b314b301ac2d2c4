"""Sweeping: what the log need not remember any longer is deleted, a little at a time, by the partition's owner.

Ids of outside events after their window, early signals whose run never came (they become dead letters), histories of
forks that were refused and not redriven, and the journals of runs that ended long ago. A run's marker stays, so that
its id still starts nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from streams import clock
from streams.engine.entry import EXPIRED, SUBMITTED, Entry
from streams.worker.journal import LEDGER, over
from streams.worker.runs.early import EARLY, given_up
from streams.worker.runs.histories import WAITING, left
from streams.worker.runs.redrive import REDRIVEN
from streams.worker.state.unit import Unit

if TYPE_CHECKING:
    from streams.worker.courier import Courier
    from streams.worker.journal import Journal
    from streams.worker.runtime import Runtime
    from streams.worker.state.slice import Slice

_PERIOD_S: Final = 30.0  # at most; a shorter retention is swept more often
_IDS: Final = 2000  # keys looked at in one go
_RUNS: Final = 200
_DAY_MS: Final = 24 * 3600 * 1000


class Sweep:
    """Goes round over the owned slices."""

    def __init__(
        self,
        runtime: Runtime,
        journal: Journal,
        courier: Courier,
        *,
        dedupe_hours: float,
        history_days: float,
        say: Callable[[str], None],
        forget: Callable[[Unit, str], None] = lambda _unit, _run_id: None,
    ) -> None:
        """Forget outside ids after `dedupe_hours`, journals `history_days` after their run ended.

        `forget` adds to the unit of a run's marker what else must go with its history.
        """
        self._forget = forget
        self._runtime = runtime
        self._journal = journal
        self._courier = courier
        self._dedupe_ms = int(dedupe_hours * 3600 * 1000)
        self._history_ms = int(history_days * _DAY_MS)
        self._period = min(_PERIOD_S, max(self._history_ms / 10_000, 1.0))
        self._say = say
        self._looked: dict[tuple[int, bytes], bytes] = {}  # where the last look ended, by partition and prefix
        self._runs: dict[int, bytes] = {}
        self._early: dict[int, bytes] = {}
        self.forgotten = 0

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self._period)
            for owned in list(self._runtime.slices.values()):
                if owned.live and owned.ready:
                    self.ids(owned, clock.now_ms())
                    self.early(owned, clock.now_ms())
                    self.histories(owned, clock.now_ms())
                    self.journals(owned, clock.now_ms())

    def ids(self, owned: Slice, now_ms: int) -> None:
        """Delete ids of outside events that came before the window, and of redrives before the retention."""
        self._delete(owned, iter(self._older(owned, b"d/", self._dedupe_ms, now_ms)))
        self._delete(owned, iter(self._older(owned, REDRIVEN, self._history_ms, now_ms)))

    def histories(self, owned: Slice, now_ms: int) -> None:
        """Delete the histories of forks whose submission was refused before the retention."""
        for waiting in self._older(owned, WAITING, self._history_ms, now_ms):
            self._delete(owned, left(owned.stores[LEDGER], waiting))

    def _older(self, owned: Slice, prefix: bytes, most_ms: int, now_ms: int) -> list[bytes]:
        """Return keys whose row is a time longer ago than that, of those behind the last look."""
        place = (owned.partition, prefix)
        rows = list(islice(owned.stores[LEDGER].scan_committed(prefix, self._looked.get(place)), _IDS))
        self._looked[place] = rows[-1][0] + b"\x00" if len(rows) == _IDS else prefix
        return [key for key, value in rows if now_ms - int(value) > most_ms]

    def early(self, owned: Slice, now_ms: int) -> None:
        """Turn signals whose run has not come for a day into dead letters."""
        store = owned.stores[LEDGER]
        rows = list(islice(store.scan_committed(EARLY, self._early.get(owned.partition)), _RUNS))
        self._early[owned.partition] = rows[-1][0] + b"\x00" if len(rows) == _RUNS else EARLY
        for unit in given_up(owned, rows, self._courier, now_ms):
            self._say(f"partition {owned.partition}: signals for a run that never came are dead letters now")
            self._runtime.committer.add(unit)

    def journals(self, owned: Slice, now_ms: int) -> None:
        """Delete the entries of runs that ended before the retention; leave a marker with the submission's digest."""
        start = self._runs.get(owned.partition)
        seen = 0
        last = b""
        for run_id, rows in self._journal.runs(owned.stores[LEDGER], start):
            seen += 1
            last = f"r/{run_id}0".encode()  # behind all keys of the run: "0" follows "/"
            if over(path for path, _ in rows):
                entries = [self._journal.decode(row) for _, row in rows]
                if now_ms - max(entry.recorded_ms for entry in entries) > self._history_ms:
                    self._expire(owned, run_id, entries, now_ms)
            if seen == _RUNS:
                break
        self._runs[owned.partition] = last if seen == _RUNS else b"r/"

    def _expire(self, owned: Slice, run_id: str, entries: list[Entry], now_ms: int) -> None:
        submitted = next((entry for entry in entries if entry.path == SUBMITTED), entries[0])
        if len(entries) == 1 and entries[0].path == EXPIRED:
            self._delete(owned, iter([entries[0].key()]))  # the marker's own time has passed
            return
        marker = Entry.from_dict(
            {
                "run_id": run_id,
                "path": EXPIRED,
                "kind": "expired",
                "status": "expired",
                "digest": submitted.digest,
                "agent": submitted.agent,
                "recorded_ms": now_ms,
            }
        )
        unit = Unit(owned)
        self._journal.write(unit, marker)
        self._forget(unit, run_id)
        self._runtime.committer.add(unit)
        self._delete(owned, (entry.key() for entry in entries if entry.path != EXPIRED))

    def _delete(self, owned: Slice, keys: Iterator[bytes]) -> None:
        store = owned.stores[LEDGER]
        while chunk := list(islice(keys, 500)):
            unit = Unit(owned)
            for key in chunk:
                unit.put(store, key, None)
            self.forgotten += len(chunk)
            self._runtime.committer.add(unit)
