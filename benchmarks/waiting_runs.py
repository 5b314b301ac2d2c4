"""Measures how much memory a worker needs for runs that wait.

`uv run python -m benchmarks.waiting_runs` starts the embedded Kafka and one worker process.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time

import httpx
import psutil

from benchmarks.runs import Bench
from benchmarks.stateful_reaction import cluster
from schemas.run import RunSubmitted


async def main() -> None:
    """Submit runs that wait, and print the worker's memory before and after."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--runs", type=int, default=100_000)
    options = parser.parse_args()
    with cluster(options.bootstrap) as bootstrap, tempfile.TemporaryDirectory() as folder:
        bench = Bench(bootstrap, f"waits{int(time.time())}", folder, app="benchmarks.apps.waits,benchmarks.apps.steps")
        try:
            await bench.prepare()
            process = psutil.Process(bench.worker.pid if bench.worker else 0)
            before = process.memory_info().rss
            begun = time.perf_counter()
            await submit(bench, options.runs)
            await waiting(bench, options.runs)
            took = time.perf_counter() - begun
            after = process.memory_info().rss
            print(
                f"{options.runs} waiting runs: {after / 2**20:,.0f} MiB resident, {before / 2**20:,.0f} before; "
                f"{(after - before) / options.runs:,.0f} bytes a run; {options.runs / took:,.0f} runs/s taken in"
            )
        finally:
            await bench.close()


async def submit(bench: Bench, runs: int) -> None:
    """Write the submissions, 1,000 at a time."""
    topic = bench.names.agents("patient")
    for start in range(0, runs, 1000):
        events = [
            RunSubmitted(run_id=f"wait-{number:07d}", agent="patient", input={"topic": str(number)})
            for number in range(start, min(start + 1000, runs))
        ]
        await asyncio.gather(*[bench.producer.send(topic, event) for event in events])


async def waiting(bench: Bench, runs: int) -> None:
    """Wait until the worker has a timer for each run and nothing queued or executing."""
    url = f"http://127.0.0.1:{bench.port}/metrics"
    limit = time.monotonic() + 600
    async with httpx.AsyncClient(trust_env=False) as client:
        while time.monotonic() < limit:
            text = (await client.get(url, timeout=30)).text
            figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
            if float(figures["streams_worker_timers"]) >= runs and not float(figures["streams_worker_runs_executing"]):
                return
            await asyncio.sleep(0.5)
    raise SystemExit(f"not all runs wait: {bench.log.read_text()[-2000:]}")


if __name__ == "__main__":
    asyncio.run(main())
