"""Measures one run with ten thousand children, as a gather and as a chord, on one worker.

`uv run python -m benchmarks.children` starts the embedded Kafka and one worker process.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from typing import Any

import psutil

from benchmarks.runs import Bench
from benchmarks.stateful_reaction import cluster
from schemas.run import RunFailed, RunSubmitted, RunSucceeded

LIMIT_S = 200


async def main() -> None:
    """Measure, check the results and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--children", type=int, default=10_000)
    options = parser.parse_args()
    number = options.children
    failed = number // 1000
    numbers = [value for value in range(number) if value % 1000 != 999]
    wanted = {"gathers": number * (number - 1) // 2, "chords": [number, number - failed, failed, sum(numbers)]}
    with cluster(options.bootstrap) as bootstrap, tempfile.TemporaryDirectory() as folder:
        app = "benchmarks.apps.children,benchmarks.apps.steps"
        bench = Bench(bootstrap, f"children{int(time.time())}", folder, app=app)
        try:
            await bench.prepare()
            for agent, result in wanted.items():
                took, found = await parent(bench, agent, number)
                if found != result:
                    raise SystemExit(f"{agent}: the result is {found}, not {result}")
                process = psutil.Process(bench.worker.pid if bench.worker else 0)
                print(
                    f"{agent} {number} children: {took:.1f} s, {number / took:,.0f} children/s, "
                    f"{process.memory_info().rss / 2**20:,.0f} MiB resident after it",
                    flush=True,
                )
        finally:
            await bench.close()


async def parent(bench: Bench, agent: str, children: int) -> tuple[float, Any]:
    """Run a parent; return seconds from its submission to its result on the log, and the result."""
    begun = time.perf_counter()
    run_id = f"{agent}-{children}"
    event = RunSubmitted(run_id=run_id, agent=agent, input={"children": children})
    await bench.producer.send(bench.names.agents(agent), event)
    value = await asyncio.to_thread(ending, bench, run_id)
    return time.perf_counter() - begun, value


def ending(bench: Bench, run_id: str) -> Any:
    """Return the result of a run; runs in a thread."""
    limit = time.monotonic() + LIMIT_S
    while time.monotonic() < limit:
        for message in bench.consumer.consume(2000, 0.05):
            kind = dict(message.headers() or []).get("ce_type")
            if message.key() == run_id.encode() and kind == b"run.succeeded":
                return bench.codec.decode(message.value(), RunSucceeded).result
            if message.key() == run_id.encode() and kind == b"run.failed":
                raise SystemExit(f"{run_id} failed: {bench.codec.decode(message.value(), RunFailed).error}")
    raise SystemExit(f"{run_id} did not end in {LIMIT_S} s: {bench.log.read_text()[-3000:]}")


if __name__ == "__main__":
    asyncio.run(main())
