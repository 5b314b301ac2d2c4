"""What a restored slice has to go on with: queued runs, runs under way, timers; read once from its journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.engine.timers import NOT_BEFORE, timers_of
from streams.engine.view import fold
from streams.worker.journal import LEDGER, over

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.define.agents import Agent
    from streams.engine.entry import Entry
    from streams.worker.journal import Journal
    from streams.worker.keys.gate import Gate
    from streams.worker.runs.desk import Desk
    from streams.worker.runs.timers import Timers
    from streams.worker.state.slice import Slice


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
    ) -> None:
        """Serve `agents`; runs of agents that this code does not have stay as they are."""
        self._agents = agents
        self._journal = journal
        self._desk = desk
        self._gate = gate
        self._timers = timers
        self._say = say

    def __call__(self, owned: Slice) -> None:
        """Go on with everything that has not ended."""
        owned.on_death.append(lambda: self._desk.forget(owned))
        found = [
            self._place(owned, run_id, [self._journal.decode(row) for _, row in rows])
            for run_id, rows in self._journal.runs(owned.stores[LEDGER])
            if not over(path for path, _ in rows)
        ]
        running = [run_id for run_id in found if run_id is not None]
        for run_id in running:
            self._desk.revive(owned, run_id)
        if running:
            self._say(f"partition {owned.partition}: {len(running)} runs go on, {len(found) - len(running)} wait")

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
