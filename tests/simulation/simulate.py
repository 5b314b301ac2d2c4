"""One run from a plan to its result; it takes the whole Python process for itself."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.simulation.plan import Plan

#: How long a run may go on after its last order and fault, in virtual seconds, before what is open counts as stuck.
_SLICE_S = 5.0


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
    began = time.perf_counter()
    real = time.perf_counter
    gc.collect()
    gc.disable()
    from tests.simulation import mutations
    from tests.simulation.client import Client
    from tests.simulation.faults import Injector
    from tests.simulation.invariants import Invariants
    from tests.simulation.loop import SimLoop
    from tests.simulation.world import World

    if mutation is not None:
        mutations.plant(mutation)
    clock = [real]  # a name that patches do not reach
    world = World(plan, printed=printed)
    client = Client(world)
    invariants = Invariants(world, client)
    injector = Injector(world)
    scheduler = world.scheduler

    def collect() -> None:
        gc.collect()
        scheduler.after(20.0, collect)

    async def main() -> None:
        await asyncio.to_thread(make_topics, world)
        injector.begin()
        world.start_gateway()
        for machine in world.machines:
            world.start_worker(machine)
        working = asyncio.create_task(client.run())
        await asyncio.sleep(max(plan.busy_s - scheduler.now, 0))
        world.faulty = False
        calm = scheduler.now
        while True:
            await asyncio.sleep(_SLICE_S)
            left = [f"{request} was answered {said}" for request, said in client.open.items()]
            left += [] if working.done() else ["the client still works"]
            if not left:
                working.result()
                left = await invariants.settled()
            if not left:
                break
            if scheduler.now - calm > plan.calm_s:
                for line in left:
                    invariants.violated(f"{plan.calm_s:g} s after the last fault {line}")
                break
        world.trace.note("at rest", f"{scheduler.now - calm:.1f} s after the last fault")
        if plan.quiet_s:
            await asyncio.sleep(plan.quiet_s)
        await invariants.rows()
        scheduler.stop()

    def run_client() -> None:
        SimLoop(scheduler).run_until_complete(main())

    world.start_client(run_client)
    scheduler.after(20.0, collect)
    try:
        scheduler.run()
        invariants.by_log()
    except Exception as error:  # noqa: BLE001 - a fault of the simulation is a result as well
        if printed:
            raise
        invariants.violations.append(f"the simulation failed: {error!r}")
    invariants.violations += [f"a process ended by {line}" for line in world.exited]
    invariants.violations += [f"nobody took the error {line}" for line in world.trace.errors]
    cluster = world.kafka.cluster
    world.trace.counts["rebalances"] = cluster.groups.rebalances
    world.trace.counts["expulsions"] = cluster.groups.expelled
    world.close()
    return Result(
        seed=plan.seed,
        violations=invariants.violations,
        digest=world.trace.digest(),
        virtual_s=scheduler.now,
        real_s=clock[0]() - began,
        switches=scheduler.switches,
        counts=dict(world.trace.counts),
        lines=list(world.trace.lines),
        memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def make_topics(world: Any) -> None:
    """Make the pipeline's topics as `streams topics apply` does."""
    from topics.admin import apply, describe, plan
    from topics.catalogue import catalogue

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
    apply(kafka, plan(current, topics, partitions=world.plan.partitions, replication_factor=1))
