"""Queued runs get a place: by priority with ageing, within the concurrency of their agent."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from streams.define.agents import Agent
    from streams.worker.runs.desk import Live
    from streams.worker.state.slice import Slice

# A run is ordered by its age plus this head start, in milliseconds: so low is overtaken for two minutes at most by high
# ones that come after it, and starves never.
_HEAD_START_MS: Final = {"high": -60_000, "default": 0, "low": 60_000}
_PLACES: Final = 5000  # executing runs of an agent without a limit of its own: what one event loop holds

Begin = Callable[["Slice", str], None]
Queued = tuple[int, int, "Slice", str]


class Dispatcher:
    """One queue an agent; a place is held from start until the run waits or ends."""

    def __init__(self, agents: dict[str, Agent[Any, Any]], begin: Begin) -> None:
        """Serve `agents`; `begin` starts a run."""
        self._begin = begin
        self._queues: dict[str, list[Queued]] = {name: [] for name in agents}
        self._places = {name: agent.concurrency or _PLACES for name, agent in agents.items()}
        self._used: dict[str, int] = dict.fromkeys(agents, 0)
        self._order = itertools.count()
        self._pumping = False

    def add(self, owned: Slice, run_id: str, agent: str, priority: str, created_ms: int) -> None:
        """Queue a run; it starts in a later turn of the loop, so that its intake is handed over first."""
        rank = created_ms + _HEAD_START_MS.get(priority, 0)
        heapq.heappush(self._queues[agent], (rank, next(self._order), owned, run_id))
        self._soon()

    def woke(self, live: Live) -> None:
        """Count a run that goes on."""
        if not live.executing:
            live.executing = True
            self._used[live.agent.name] += 1

    def rested(self, live: Live) -> None:
        """Free the place of a run that waits or has ended."""
        if live.executing:
            live.executing = False
            self._used[live.agent.name] -= 1
            self._soon()

    def queued(self) -> dict[str, int]:
        """Return how many runs wait for a place, by agent."""
        return {name: len(queue) for name, queue in self._queues.items()}

    def executing(self) -> int:
        """Return how many runs hold a place."""
        return sum(self._used.values())

    def _soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        for name, queue in self._queues.items():
            while queue and self._used[name] < self._places[name]:
                _, _, owned, run_id = heapq.heappop(queue)
                if owned.live:
                    self._begin(owned, run_id)
