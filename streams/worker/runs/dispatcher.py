"""Queued runs get a place: by priority with ageing, within the concurrency and the rate of their agent."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from streams import clock
from streams.limits.heap_ranks import first_ranks

if TYPE_CHECKING:
    from streams.define.agents import Agent
    from streams.limits.admission import AdmissionGrant, AgentAdmission
    from streams.runtime.assignment import PartitionAssignment
    from streams.worker.runs.active_run import ActiveRun

# A run is ordered by its age plus this head start, in milliseconds: so low is overtaken for two minutes at most by high
# ones that come after it, and starves never.
HEAD_START_MS: Final = {"high": -60_000, "default": 0, "low": 60_000}
_PLACES: Final = 5000  # executing runs of an agent without a limit of its own: what one event loop holds
_ASKING: Final = 100  # admissions of an agent that are waited for at a time

_TURN_S: Final = 0.02  # how long runs are begun before the loop serves others

Begin = Callable[["PartitionAssignment", str], None]
Queued = tuple[int, int, "PartitionAssignment", str]


class RunDispatcher:
    """One queue an agent; a place is held from start until the run waits or ends."""

    def __init__(
        self,
        agents: dict[str, Agent[Any, Any]],
        begin: Begin,
        admission: AgentAdmission,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        """Serve `agents`; `begin` starts a run; `admission` knows the limits that hold over all workers."""
        self._begin = begin
        self._admission = admission
        self._spawn = spawn
        self._limited = {name: agent for name, agent in agents.items() if admission.limited(agent)}
        self._asking: dict[str, int] = dict.fromkeys(self._limited, 0)
        self._offered = False  # a place is there for the run that is being begun
        self._queues: dict[str, list[Queued]] = {name: [] for name in agents}
        self._places = {name: agent.concurrency or _PLACES for name, agent in agents.items()}
        self._used: dict[str, int] = dict.fromkeys(agents, 0)
        self._paused: dict[str, dict[PartitionAssignment, list[Queued]]] = {}  # what waits for a resume
        self._order = itertools.count()
        self._pumping = False

    def add(self, owned: PartitionAssignment, run_id: str, agent: str, priority: str, created_ms: int) -> None:
        """Queue a run; it starts in a later turn of the loop, so that its intake is handed over first."""
        rank = created_ms + HEAD_START_MS.get(priority, 0)
        queued = (rank, next(self._order), owned, run_id)
        if (waiting := self._paused.get(agent, {}).get(owned)) is not None:
            waiting.append(queued)
            return
        heapq.heappush(self._queues[agent], queued)
        self._soon()

    def pause(self, owned: PartitionAssignment, agent: str) -> None:
        """Begin no run of `agent` in that assignment until it is resumed; those that have begun go on."""
        assignments = self._paused.setdefault(agent, {})
        if owned in assignments:
            return
        assignments[owned] = [one for one in self._queues.get(agent, ()) if one[2] is owned]
        owned.on_death.append(lambda: self._closed(owned, agent))
        if assignments[owned]:
            self._queues[agent] = [one for one in self._queues[agent] if one[2] is not owned]
            heapq.heapify(self._queues[agent])

    def resume(self, owned: PartitionAssignment, agent: str) -> None:
        """Let the runs of `agent` begin again, in their order."""
        waiting = self._forget(owned, agent)
        if waiting and agent in self._queues:
            for one in waiting:
                heapq.heappush(self._queues[agent], one)
            self._soon()

    def paused(self) -> set[str]:
        """Return the agents that are paused in an assignment of this worker."""
        return {agent for agent, assignments in self._paused.items() if assignments}

    def _closed(self, owned: PartitionAssignment, agent: str) -> None:
        self._forget(owned, agent)

    def _forget(self, owned: PartitionAssignment, agent: str) -> list[Queued]:
        return self._paused.get(agent, {}).pop(owned, [])

    def woke(self, live: ActiveRun) -> None:
        """Count a run that goes on."""
        if not live.executing:
            live.executing = True
            self._used[live.agent.name] += 1
            if live.agent.name in self._limited:
                if not self._offered:
                    self._admission.force(live.agent)
                self._offered = False

    def rested(self, live: ActiveRun) -> None:
        """Free the place of a run that waits or has ended."""
        if live.executing:
            live.executing = False
            self._used[live.agent.name] -= 1
            if live.agent.name in self._limited:
                self._admission.free(live.agent)
            self._soon()

    def queued(self) -> dict[str, int]:
        """Return how many runs wait for a place, by agent."""
        return {
            name: len(queue) + sum(map(len, self._paused.get(name, {}).values()))
            for name, queue in self._queues.items()
        }

    def why(self, agent: str, key: str | None = None) -> str:
        """Return why a queued run of `agent` (with this concurrency key) has not begun."""
        if agent not in self._queues:
            return f"the worker that owns the run's partition does not have agent '{agent}' in its code"
        if self._paused.get(agent):
            return f"the queue of agent '{agent}' is paused: `streams agents resume {agent}` lets it go on"
        if self._used[agent] >= self._places[agent]:
            return f"all {self._places[agent]} places of agent '{agent}' are taken"
        if key is not None:
            return f"another run may hold the concurrency key {key!r}"
        if agent in self._limited:
            return f"the rate or the concurrency of agent '{agent}' over all workers is used up"
        return "its turn has not come"

    def executing(self) -> int:
        """Return how many runs hold a place."""
        return sum(self._used.values())

    def _soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        end = clock.monotonic() + _TURN_S
        for name, queue in self._queues.items():
            if name in self._limited:
                self._ask(name)
                continue
            while queue and self._used[name] < self._places[name]:
                if clock.monotonic() > end:
                    self._soon()  # others of the loop have their turn first
                    return
                _, _, owned, run_id = heapq.heappop(queue)
                if owned.live:
                    self._begin(owned, run_id)

    def _ask(self, name: str) -> None:
        """Begin what can begin at once; wait for as many admissions as can be used: which run gets one is seen then.

        With a concurrency its home knows how many may execute, so what executes here does not count: while it does,
        those that wait here stand in the queue of all workers.
        """
        agent, queue = self._limited[name], self._queues[name]
        while queue and not self._asking[name] and self._used[name] < self._places[name]:
            given = self._admission.at_once(agent, queue[0][0])
            if given is None:
                break
            self._begin_first(name, given)
        room = self._places[name] - (0 if agent.concurrency is not None else self._used[name])
        for _ in range(min(len(queue), room, _ASKING) - self._asking[name]):
            self._asking[name] += 1
            self._spawn(self._admit(name))
        if queue and self._asking[name]:
            self._admission.reordered(agent)

    def ranks(self, name: str, count: int) -> list[int]:
        """Return the ranks of the first runs that wait for an agent, lowest first."""
        return first_ranks(self._queues[name], count, lambda one: one[2].live)

    async def _admit(self, name: str) -> None:
        given = None
        try:
            given = await self._admission.admit(self._limited[name], lambda count: self.ranks(name, count))
        finally:
            self._asking[name] -= 1
        asyncio.get_running_loop().call_soon(self._admitted, name, given)

    def _admitted(self, name: str, given: AdmissionGrant) -> None:
        self._begin_first(name, given)
        self._soon()

    def _begin_first(self, name: str, given: AdmissionGrant) -> None:
        """Begin the first run, if there still is one and the grant still counts."""
        queue = self._queues[name]
        while queue and not queue[0][2].live:
            heapq.heappop(queue)
        self._offered = given.placed
        if queue and not given.late():
            _, _, owned, run_id = heapq.heappop(queue)
            self._begin(owned, run_id)
        if self._offered:  # no run has taken it: it waited at once, or was cancelled
            self._admission.free(self._limited[name])
            self._offered = False
