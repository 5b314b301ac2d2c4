"""Five steps on DBOS, as its users write them; runs in an environment of its own and prints its figures as JSON."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time

from dbos import DBOS


@DBOS.step()
async def increment(value: int) -> int:
    """Return the next number."""
    return value + 1


@DBOS.workflow()
async def five_steps(value: int) -> int:
    """Run five steps, one after the other."""
    for _ in range(5):
        value = await increment(value)
    return value


async def one(value: int) -> float:
    """Run one workflow and return its milliseconds from start to result."""
    begun = time.perf_counter()
    handle = await DBOS.start_workflow_async(five_steps, value)
    if await handle.get_result() != value + 5:
        raise RuntimeError("a workflow gave a wrong result")
    return (time.perf_counter() - begun) * 1000


async def many(runs: int, at_once: int) -> float:
    """Return workflows a second with so many under way at a time."""
    gate = asyncio.Semaphore(at_once)

    async def within(value: int) -> None:
        async with gate:
            await one(value)

    begun = time.perf_counter()
    await asyncio.gather(*(within(value) for value in range(runs)))
    return runs / (time.perf_counter() - begun)


async def measure(lone: int, runs: int) -> dict[str, float]:
    """Return the figures, after a warm-up."""
    for value in range(10):
        await one(value)
    times = sorted([await one(value) for value in range(lone)])
    figures = {"p50_ms": statistics.median(times), "p99_ms": times[int(len(times) * 0.99)]}
    for at_once in (20, 100):
        figures[f"runs_per_s_{at_once}"] = await many(runs, at_once)
    return figures


def main() -> None:
    """Connect, measure, print: `dbos_app.py URL LONE RUNS`."""
    url, lone, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    DBOS(config={"name": "five-steps", "system_database_url": url, "log_level": "WARNING"})
    DBOS.launch()
    try:
        print(json.dumps(asyncio.run(measure(lone, runs))))
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    main()
