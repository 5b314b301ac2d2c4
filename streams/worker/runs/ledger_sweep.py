"""Sweeping: what the log need not remember any longer is deleted by the partition's owner, as fast as it comes.

Ids of outside events after their window, early signals whose run never came (they become dead letters), histories of
forks that were refused and not redriven, and the journals of runs that ended long ago. A run's marker stays, so that
its id still starts nothing. All are found by their time, oldest first, so a sweep costs what it deletes; it ends when
nothing is left to delete, and waits for each piece to be committed before the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from streams import clock
from streams.engine.entry import END, EXPIRED, Entry, run_prefix
from streams.journal import store_keys
from streams.journal.expiry_index import ENDS, MARKERS, ExpiryHint, is_current, older
from streams.journal.fork_histories import left
from streams.journal.journal_store import over
from streams.journal.store_keys import LEDGER
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.commit_wait import committed
from streams.runtime.errors import DeadAssignmentError
from streams.runtime.index_entries import drop_entries
from streams.worker.runs.early_signals import EARLY_HOURS, given_up
from topics.catalogue import BUS_MS, REMEMBERED_MS

if TYPE_CHECKING:
    from streams.journal.journal_store import JournalStore
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.partition_store import PartitionStore
    from streams.runtime.runtime import Runtime

log = logging.getLogger(__name__)


_PERIOD_S: Final = 30.0  # at most; a shorter retention is swept more often
_LOOK: Final = 500  # entries looked at in one go
_ROWS: Final = 1000  # rows written by one unit, about
_HOUR_MS: Final = 3600 * 1000

Units = Iterator[CommitUnit]


class LedgerSweep:
    """Goes round over the owned assignments."""

    def __init__(
        self,
        runtime: Runtime,
        journal: JournalStore,
        writer: RecordWriter,
        *,
        dedupe_hours: float,
        history_days: float,
        forget: Callable[[CommitUnit, str], None] | None = None,
        in_memory: Callable[[PartitionAssignment, str], bool] | None = None,
        read_ms: Callable[[PartitionAssignment], int] | None = None,
    ) -> None:
        """Forget outside ids after `dedupe_hours`, journals `history_days` after their run ended.

        `forget` adds to the unit of a run's marker what else must go with its history. `in_memory` says whether a run
        has a machine, which may go on. `read_ms` is the time of the newest event that was read of the bus.
        """
        self._forget = forget
        self._in_memory = in_memory
        self._read_ms = read_ms
        self._runtime = runtime
        self._journal = journal
        self._writer = writer
        self._dedupe_ms = int(dedupe_hours * _HOUR_MS)
        self._history_ms = int(history_days * 24 * _HOUR_MS)
        self._remembered_ms = max(self._history_ms, REMEMBERED_MS)
        self._period = min(_PERIOD_S, max(self._history_ms / 10_000, 1.0))
        self.forgotten = 0

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self._period)
            for owned in list(self._runtime.assignments.values()):
                if owned.live and owned.ready:
                    await self.sweep(owned, clock.now_ms())

    async def sweep(self, owned: PartitionAssignment, now_ms: int) -> None:
        """Delete all that is over in an assignment."""
        for units in (
            self.ids(owned, now_ms),
            self.early(owned, now_ms),
            self.histories(owned, now_ms),
            self.journals(owned, now_ms),
            self.markers(owned, now_ms),
        ):
            try:
                for unit in units:
                    await committed(self._runtime.committer, unit)
            except DeadAssignmentError:
                return  # the new owner goes on with it

    def ids(self, owned: PartitionAssignment, now_ms: int) -> Units:
        """Delete ids of outside events that came before the window, and of redrives that cannot come again.

        The window counts in the time of the log: while the bus is read late, what comes again is read late, too.
        """
        read = min(0 if self._read_ms is None else self._read_ms(owned), now_ms)
        yield from self._rows(owned, store_keys.OUTSIDE_ID, max(read, now_ms - BUS_MS) - self._dedupe_ms)
        yield from self._rows(owned, store_keys.REDRIVEN, now_ms - self._remembered_ms)

    def histories(self, owned: PartitionAssignment, now_ms: int) -> Units:
        """Delete the histories of forks whose submission was refused before the retention."""
        yield from self._rows(owned, store_keys.FORK_WAITING, now_ms - self._history_ms, left)

    def early(self, owned: PartitionAssignment, now_ms: int) -> Units:
        """Turn signals whose run has not come for a day into dead letters."""
        store = owned.stores[LEDGER]
        for hints in self._pieces(owned, store_keys.EARLY_SIGNAL, now_ms - EARLY_HOURS * _HOUR_MS):
            rows = [(hint.key, row) for hint in hints if (row := store.committed(hint.key)) is not None]
            for unit in given_up(owned, rows, self._writer, now_ms):
                log.info("partition %s: signals for a run that never came are dead letters now", owned.partition)
                yield unit
            gone = [hint.at for hint in hints if not is_current(store, hint)]
            if gone:
                unit = CommitUnit(owned)
                drop_entries(unit, store, gone)
                yield unit

    def journals(self, owned: PartitionAssignment, now_ms: int) -> Units:
        """Delete the entries of runs that ended before the retention; leave a marker with the submission's digest.

        The marker is in the first unit of its run, the ends are in the last: whatever is left after a crash belongs to
        an expired run, and is found again.
        """
        store, before_ms = owned.stores[LEDGER], now_ms - self._history_ms
        for hints in self._pieces(owned, ENDS, before_ms):
            unit, changing = CommitUnit(owned), _changing(store)
            for hint in hints:
                run_id = _run_of(hint.key)
                if run_id in changing or self._goes_on(owned, run_id) or self._ended_ms(owned, run_id) >= before_ms:
                    continue  # looked at again by the next sweep
                for key in self._expire(unit, run_id, now_ms):
                    unit.put(store, key, None)
                    self.forgotten += 1
                    if len(unit.writes) >= _ROWS:
                        yield unit
                        unit, changing = CommitUnit(owned), _changing(store)
                drop_entries(unit, store, [hint.at])
            if unit.writes:
                yield unit

    def _ended_ms(self, owned: PartitionAssignment, run_id: str) -> int:
        """Return when a run ended last, or will resume itself after that; 0 if it has no end any more."""
        return max((max(end.recorded_ms, end.due_ms or 0) for end in self._journal.ends(owned, run_id)), default=0)

    def _expire(self, unit: CommitUnit, run_id: str, now_ms: int) -> Iterator[bytes]:
        """Add the marker of a run to `unit` if it is over; yield the keys of its rows, ends last."""
        store, cut = unit.assignment.stores[LEDGER], len(run_prefix(run_id))
        paths = {key[cut:].decode(): key for key in _keys(store, run_id)}
        if not over(paths):
            return  # it was resumed: its next end has an entry of its own
        if EXPIRED not in paths:
            self._mark(unit, run_id, now_ms)
        yield from (key for path, key in paths.items() if path != EXPIRED and not path.startswith(END))
        yield from (key for path, key in paths.items() if path.startswith(END))

    def _mark(self, unit: CommitUnit, run_id: str, now_ms: int) -> None:
        owned = unit.assignment
        submitted = self._journal.known(owned, run_id) or self._journal.ends(owned, run_id)[0]
        marker = {
            "run_id": run_id,
            "path": EXPIRED,
            "kind": "expired",
            "status": "expired",
            "digest": submitted.digest,
            "agent": submitted.agent,
            "recorded_ms": now_ms,
        }
        self._journal.write(unit, Entry.from_dict(marker))
        unit.send(self._writer.names.runs, None, run_id.encode())
        if self._forget is not None:
            self._forget(unit, run_id)

    def markers(self, owned: PartitionAssignment, now_ms: int) -> Units:
        """Delete markers that no record can ask for any more."""
        store = owned.stores[LEDGER]
        yield from self._rows(
            owned,
            MARKERS,
            now_ms - self._remembered_ms,
            lambda _, key: iter((key,)) if list(_keys(store, _run_of(key))) == [key] else iter(()),
        )

    def _goes_on(self, owned: PartitionAssignment, run_id: str) -> bool:
        return self._in_memory is not None and self._in_memory(owned, run_id)

    def _pieces(self, owned: PartitionAssignment, kind: bytes, before_ms: int) -> Iterator[list[ExpiryHint]]:
        """Yield what is older, piece by piece; each is looked up when the one before it was dealt with."""
        start: bytes | None = None
        while owned.live and owned.ready:
            hints = list(islice(older(owned.stores[LEDGER], kind, before_ms, start), _LOOK))
            if not hints:
                return
            yield hints
            start = hints[-1].at + b"\x00"

    def _rows(
        self,
        owned: PartitionAssignment,
        kind: bytes,
        before_ms: int,
        keys: Callable[[PartitionStore, bytes], Iterator[bytes]] = lambda _, key: iter((key,)),
    ) -> Units:
        """Delete the rows that hold an older time, with what `keys` gives for each."""
        store = owned.stores[LEDGER]
        for hints in self._pieces(owned, kind, before_ms):
            unit = CommitUnit(owned)
            for hint in hints:
                if hint.key in store.dirty:
                    continue  # looked at again by the next sweep
                gone = list(keys(store, hint.key)) if is_current(store, hint) else []
                for key in gone:
                    unit.put(store, key, None)
                self.forgotten += len(gone)
                drop_entries(unit, store, [hint.at])
            if unit.writes:
                yield unit


def _run_of(key: bytes) -> str:
    return key.split(b"/", 2)[1].decode()


def _keys(store: PartitionStore, run_id: str) -> Iterator[bytes]:
    """Yield the committed keys of a run."""
    yield from (key[len(store.prefix) :] for key in store.db.keys(store.prefix + run_prefix(run_id)))


def _changing(store: PartitionStore) -> set[str]:
    """Return the runs of which something is on its way to the log."""
    return {_run_of(key) for key in store.dirty if key.startswith(store_keys.RUN)}
