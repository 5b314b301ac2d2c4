"""What a restored slice has to go on with: queued runs, runs under way, timers; read once from its journal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from streams.engine.entry import END, SUBMITTED
from streams.engine.timers import NOT_BEFORE, timers_of
from streams.engine.view import fold
from streams.worker.book import RUNS
from streams.worker.journal import LEDGER, over

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.define.agents import Agent
    from streams.engine.entry import Entry
    from streams.worker.book import Book
    from streams.worker.journal import Journal
    from streams.worker.keys.gate import Gate
    from streams.worker.runs.desk import Desk
    from streams.worker.runs.timers import Timers
    from streams.worker.state.committer import Committer
    from streams.worker.state.slice import Slice

_CHUNK: Final = 100  # runs looked at in one turn of the loop
_FAILED: Final = b"failed"  # an end's status, which stands in its row as it is: others need not be decoded


class Reload:
    """Brings the runs of a slice back."""

    def __init__(
        self,
        agents: dict[str, Agent[Any, Any]],
        journal: Journal,
        desk: Desk,
        gate: Gate,
        timers: Timers,
        say: Callable[[str], None],
        *,
        book: Book,
        committer: Callable[[], Committer],
    ) -> None:
        """Serve `agents`; runs of agents that this code does not have stay as they are."""
        self._book = book
        self._committer = committer
        self._agents = agents
        self._journal = journal
        self._desk = desk
        self._gate = gate
        self._timers = timers
        self._say = say

    async def __call__(self, owned: Slice) -> None:
        """Go on with everything that has not ended; the loop serves others in between, for there may be many."""
        owned.on_death.append(lambda: self._desk.forget(owned))
        running: list[str] = []
        seen = waiting = 0
        for run_id, rows in self._journal.runs(owned.stores[LEDGER]):
            seen += 1
            if seen % _CHUNK == 0:
                await asyncio.sleep(0)
                if not owned.live:
                    return
            self._listed(owned, run_id, rows)
            if over(path for path, _ in rows) and not self._resumes_itself(rows):
                continue
            under_way = self._place(owned, run_id, [self._journal.decode(row) for _, row in rows])
            waiting += under_way is None
            if under_way is not None:
                running.append(under_way)
        await self._revive(owned, running)
        if running:
            self._say(f"partition {owned.partition}: {len(running)} runs go on, {waiting} wait")

    def _resumes_itself(self, rows: list[tuple[str, bytes]]) -> bool:
        """Return whether the clock resumes a run that is over: its last end says so, the only row that is read."""
        ends = {int(path.removeprefix(END)): row for path, row in rows if path.startswith(END)}
        last = ends[max(ends)] if ends else b""
        return _FAILED in last and self._journal.decode(last).due_ms is not None

    def _listed(self, owned: Slice, run_id: str, rows: list[tuple[str, bytes]]) -> None:
        """Give a run its row in `runs` if it has none: its journal was written before there was that table."""
        if owned.stores[RUNS].committed(run_id.encode()) is None and any(path == SUBMITTED for path, _ in rows):
            unit = self._book.add(owned, run_id, [self._journal.decode(row) for _, row in rows])
            if unit is not None:
                self._committer().add(unit)

    async def _revive(self, owned: Slice, running: list[str]) -> None:
        for count, run_id in enumerate(running, 1):
            self._desk.revive(owned, run_id)
            if count % _CHUNK == 0:
                await asyncio.sleep(0)
                if not owned.live:
                    return

    def _place(self, owned: Slice, run_id: str, entries: list[Entry]) -> str | None:
        """Set a run's timers and queue it if it has not begun; return its id if it was under way."""
        if entries[0].agent not in self._agents:
            self._say(f"run {run_id} belongs to agent {entries[0].agent!r}, which this worker does not have: it waits")
            return None
        view = fold(sorted(entries, key=lambda entry: entry.seq))
        timers = timers_of(entries)
        for timer in timers:
            self._timers.add(owned, run_id, timer)
        if view.status == "queued" and all(timer.path != NOT_BEFORE for timer in timers):
            self._gate.enqueue(owned, view)
        return run_id if view.status == "running" else None
