"""One run from a plan to its result; it takes the whole Python process for itself."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.simulation import mutations
from tests.simulation.client import Client
from tests.simulation.faults import Injector
from tests.simulation.invariants import Invariants
from tests.simulation.loop import SimLoop
from tests.simulation.plan import Plan
from tests.simulation.scheduler import DeadlockError
from tests.simulation.world import World
from topics.admin import apply, describe
from topics.admin import plan as changes
from topics.catalogue import catalogue

_SLICE_S = 5.0  # virtual seconds between two looks whether all is at rest
_COLLECT_S = 20.0


@dataclass
class Result:
    """What a run gave."""

    seed: int
    violations: list[str] = field(default_factory=list)
    digest: str = ""
    virtual_s: float = 0.0
    real_s: float = 0.0
    switches: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    memory_mb: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def simulate(plan: Plan, *, printed: bool = False, mutation: str | None = None) -> Result:
    """Carry a plan out."""
    real = [time.perf_counter]  # a place that the patches do not reach
    began = real[0]()
    gc.collect()
    gc.disable()
    if mutation is not None:
        mutations.plant(mutation)
    run = Run(World(plan, printed=printed))
    violations = run.carry_out()
    world = run.world
    world.close()
    return Result(
        seed=plan.seed,
        violations=violations,
        digest=world.trace.digest(),
        virtual_s=world.scheduler.now,
        real_s=real[0]() - began,
        switches=world.scheduler.switches,
        counts=dict(world.trace.counts),
        lines=list(world.trace.lines),
        memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


class Run:
    """One run: its world, what its client does, and what is checked."""

    def __init__(self, world: World) -> None:
        """Prepare; nothing runs yet."""
        self.world = world
        self._client = Client(world)
        self._invariants = Invariants(world, self._client)
        self._injector = Injector(world)

    def carry_out(self) -> list[str]:
        """Run to the end; return what was violated."""
        world, scheduler = self.world, self.world.scheduler
        world.start_client(lambda: SimLoop(scheduler).run_until_complete(self._main()))
        self._collect()
        violations = self._invariants.violations
        try:
            scheduler.run()
            self._invariants.by_log()
        except DeadlockError as error:
            violations.append(f"the simulation stands still: {error}")
        violations += [f"a process ended by {line}" for line in world.exited]
        violations += [f"nobody took the error {line}" for line in world.trace.errors]
        groups = world.kafka.cluster.groups
        world.trace.counts["rebalances"], world.trace.counts["expulsions"] = groups.rebalances, groups.expelled
        return violations

    def _collect(self) -> None:
        """Look for garbage at times that do not depend on how much was allocated."""
        gc.collect()
        self.world.scheduler.after(_COLLECT_S, self._collect)

    async def _main(self) -> None:
        world, plan, scheduler = self.world, self.world.plan, self.world.scheduler
        await asyncio.to_thread(make_topics, world)
        self._injector.begin()
        world.start_gateway()
        for machine in world.machines:
            world.start_worker(machine)
        working = asyncio.create_task(self._client.run())
        await asyncio.sleep(max(plan.busy_s - scheduler.now, 0))
        world.faulty = False
        calm = scheduler.now
        while left := await self._left(working):
            if scheduler.now - calm > plan.calm_s:
                for line in left:
                    self._invariants.violated(f"{plan.calm_s:g} s after the last fault {line}")
                break
        world.trace.note("at rest", f"{scheduler.now - calm:.1f} s after the last fault")
        await asyncio.sleep(plan.quiet_s)
        await self._invariants.rows()
        scheduler.stop()

    async def _left(self, working: asyncio.Task[None]) -> list[str]:
        """Return what is not at rest after a while."""
        await asyncio.sleep(_SLICE_S)
        if working.done():
            working.result()
            return await self._invariants.settled()
        asked = [f"{request} was answered {said}" for request, said in self._client.open.items()]
        return [*asked, "the client still works"]


def make_topics(world: Any) -> None:
    """Make the pipeline's topics as `streams topics apply` does."""
    found = world.catalog
    topics = catalogue(
        "",
        agents=[(agent.name, agent.pool) for agent in found.agents.values()],
        sources=sorted(found.sources),
        tables=found.changelogs(),
        own=list(found.topics.values()),
    )
    kafka = world.settings().kafka()
    current = describe(kafka, [topic.name for topic in topics])
    apply(kafka, changes(current, topics, partitions=world.plan.partitions, replication_factor=1))
