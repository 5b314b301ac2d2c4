"""What a restored assignment has to go on with: queued runs, runs under way, timers.

They are found by their rows in the table `runs`, so that a restart reads no journal of a run that has ended. A store
that was never seen whole (new here, or older than that table) is looked through once, journal by journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from streams.engine.entry import END, SUBMITTED
from streams.engine.timers import NOT_BEFORE, timers_of
from streams.engine.view import fold
from streams.journal.journal_store import over
from streams.journal.store_keys import LEDGER
from streams.worker.runs.run_index import RUNS, with_status
from streams.worker.runs.run_metrics import UNSERVED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from streams.define.agents import Agent
    from streams.engine.entry import Entry
    from streams.journal.journal_store import JournalStore
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.committer import Committer
    from streams.worker.runs.key_gate import KeyGate
    from streams.worker.runs.run_index import RunIndex
    from streams.worker.runs.run_manager import RunManager
    from streams.worker.runs.run_metrics import RunMetrics
    from streams.worker.runs.run_timers import RunTimers

log = logging.getLogger(__name__)


_CHUNK: Final = 100  # runs looked at in one turn of the loop
_OPEN: Final = ("queued", "running", "waiting")
_FAILED: Final = "failed"
_LISTED: Final = b"listed"


class RunRecovery:
    """Brings the runs of an assignment back."""

    def __init__(
        self,
        agents: dict[str, Agent[Any, Any]],
        journal: JournalStore,
        manager: RunManager,
        key_gate: KeyGate,
        timers: RunTimers,
        *,
        run_index: RunIndex,
        committer: Committer,
        metrics: RunMetrics,
    ) -> None:
        """Serve `agents`; runs of agents that this code does not have stay as they are."""
        self._run_index = run_index
        self._committer = committer
        self._agents = agents
        self._journal = journal
        self._manager = manager
        self._key_gate = key_gate
        self._timers = timers
        self._metrics = metrics

    async def __call__(self, owned: PartitionAssignment) -> None:
        """Go on with everything that has not ended; the loop serves others in between, for there may be many."""
        owned.on_death.append(lambda: self._manager.forget(owned))
        self._metrics.begin(owned)
        running: list[str] = []
        unserved: Counter[str] = Counter()
        waiting = 0
        async for run_id, entries in self._by_rows(owned) if self._is_listed(owned) else self._by_journals(owned):
            if entries[0].agent not in self._agents:
                unserved[entries[0].agent or "?"] += 1
                self._metrics.restored(owned, entries[0].agent, UNSERVED)
                continue
            under_way = self._place(owned, run_id, entries)
            waiting += under_way is None
            if under_way is not None:
                running.append(under_way)
        if owned.live:
            await self._revive(owned, running)
        for agent, count in sorted(unserved.items()):
            log.info(
                "partition %s: %s runs of agent %r wait: this worker lacks that agent", owned.partition, count, agent
            )
        if running:
            log.info("partition %s: %s runs go on, %s wait", owned.partition, len(running), waiting)

    # which runs those are

    async def _by_rows(self, owned: PartitionAssignment) -> AsyncIterator[tuple[str, list[Entry]]]:
        """Yield runs that have not ended, and failed ones that resume themselves, as the index of `runs` finds them.

        All are found before the first is yielded: from then on they move.
        """
        found: list[tuple[str, bool]] = []
        for run_id, status in with_status(owned.stores[RUNS], *_OPEN, _FAILED):
            found.append((run_id, status == _FAILED))
            if not await _goes_on(owned, len(found)):
                return
        for count, (run_id, failed) in enumerate(found, 1):
            if not await _goes_on(owned, count):
                return
            if not failed or self._resumes_itself(self._journal.ends(owned, run_id)):
                yield run_id, self._journal.committed(owned, run_id)

    async def _by_journals(self, owned: PartitionAssignment) -> AsyncIterator[tuple[str, list[Entry]]]:
        """Yield the same having looked at all journals, which shows whether each run has its row in `runs`."""
        lacking = 0
        for seen, (run_id, rows) in enumerate(self._journal.runs(owned.stores[LEDGER]), 1):
            if not await _goes_on(owned, seen):
                return
            lacking += self._lists(owned, run_id, rows)
            if not over(path for path, _ in rows) or self._resumes_itself(self._ends(rows)):
                yield run_id, [self._journal.decode(row) for _, row in rows]
        if not lacking:
            self._note_listed(owned)

    def _ends(self, rows: list[tuple[str, bytes]]) -> list[Entry]:
        """Return a run's ends if it ever failed; all others need not be decoded."""
        ends = [row for path, row in rows if path.startswith(END)]
        return [self._journal.decode(row) for row in ends] if any(_FAILED.encode() in row for row in ends) else []

    @staticmethod
    def _resumes_itself(ends: Iterable[Entry]) -> bool:
        """Return whether a run that is over has a timer on its last end: only a failure has one."""
        last = max(ends, key=lambda end: end.attempt, default=None)
        return last is not None and last.due_ms is not None

    def _lists(self, owned: PartitionAssignment, run_id: str, rows: list[tuple[str, bytes]]) -> bool:
        """Write a run's row in `runs` if it has none: its journal was written before there was that table."""
        if owned.stores[RUNS].committed(run_id.encode()) is not None or all(path != SUBMITTED for path, _ in rows):
            return False
        unit = self._run_index.add(owned, run_id, [self._journal.decode(row) for _, row in rows])
        if unit is not None:
            self._committer.add(unit)
        return True

    def _is_listed(self, owned: PartitionAssignment) -> bool:
        """Return whether each journal was once seen to have its row: since then both are written in one unit."""
        topics = _topics(owned)
        return topics is not None and owned.db is not None and owned.db.note(_LISTED) == topics

    def _note_listed(self, owned: PartitionAssignment) -> None:
        topics = _topics(owned)
        with owned.guard:
            if owned.live and owned.db is not None and topics is not None:
                owned.db.keep(_LISTED, topics)

    # what becomes of them

    async def _revive(self, owned: PartitionAssignment, running: list[str]) -> None:
        for count, run_id in enumerate(running, 1):
            self._manager.revive(owned, run_id)
            if count % _CHUNK == 0:
                await asyncio.sleep(0)
                if not owned.live:
                    return

    def _place(self, owned: PartitionAssignment, run_id: str, entries: list[Entry]) -> str | None:
        """Set a run's timers and queue it if it has not begun; return its id if it was under way."""
        view = fold(sorted(entries, key=lambda entry: entry.seq))
        self._metrics.restored(owned, view.agent, view.waits_for())
        timers = timers_of(entries)
        for timer in timers:
            self._timers.add(owned, run_id, timer)
        if view.status == "queued" and all(timer.path != NOT_BEFORE for timer in timers):
            self._key_gate.enqueue(owned, view)
        return run_id if view.status == "running" else None


async def _goes_on(owned: PartitionAssignment, count: int) -> bool:
    """Let the loop serve others now and then; False when the assignment died meanwhile."""
    if count % _CHUNK == 0:
        await asyncio.sleep(0)
    return owned.live and owned.db is not None


def _topics(owned: PartitionAssignment) -> bytes | None:
    """Return which topics back the journal and the table: another one may lack what was seen in the former."""
    marks = [None if owned.db is None else owned.db.mark(name) for name in (LEDGER, RUNS)]
    return None if None in marks else b" ".join(mark.topic_id.encode() for mark in marks if mark is not None)
