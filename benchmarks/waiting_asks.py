"""Measures thousands of runs that wait on a model at once, held by one worker.

`uv run python -m benchmarks.waiting_asks` starts the embedded Kafka, a model endpoint and one worker process. Printed
are the time from the first submission to the last ending against the ideal (the wait itself), how late the worker's
event loop was meanwhile, its memory for each waiting run, and its CPU time for each run.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time

import httpx
import psutil

from benchmarks.endpoint import endpoint, more_files
from benchmarks.runs import Bench
from benchmarks.stateful_reaction import cluster
from schemas.run import RunSubmitted

QUESTION = "x" * 4_000


async def main() -> None:
    """Submit, wait for all endings, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--runs", type=int, default=5_000)
    parser.add_argument("--wait", type=float, default=30.0, help="seconds that the endpoint takes")
    options = parser.parse_args()
    more_files()
    with (
        cluster(options.bootstrap) as bootstrap,
        endpoint(options.wait) as port,
        tempfile.TemporaryDirectory() as folder,
    ):
        bench = Bench(bootstrap, f"asks{int(time.time())}", folder, app="benchmarks.apps.asks,benchmarks.apps.steps")
        bench.environment |= {
            "STREAMS_LLM_BASE_URL": f"http://127.0.0.1:{port}/v1",
            "STREAMS_LLM_MODEL": "m",
            "STREAMS_LLM_TIMEOUT": str(options.wait * 10),
        }
        try:
            await bench.prepare()
            await one(bench)  # connections and imports of the first call are not the subject
            await measure(bench, options.runs, options.wait)
        finally:
            await bench.close()


async def one(bench: Bench) -> None:
    """Make one run."""
    await bench.producer.send(
        bench.names.agents("asks"), RunSubmitted(run_id="ask-first", agent="asks", input={"question": "?"})
    )
    await asyncio.to_thread(bench.ended, {"ask-first"})


async def measure(bench: Bench, runs: int, wait: float) -> None:
    """Make the runs and print what they cost."""
    process = psutil.Process(bench.worker.pid if bench.worker else 0)
    peak = Peak(process)
    before, late, cpu = process.memory_info().rss, await lateness(bench), sum(process.cpu_times()[:2])
    topic, begun = bench.names.agents("asks"), time.perf_counter()
    ids: set[str] = set()
    watching = asyncio.create_task(peak.watch())
    for start in range(0, runs, 500):
        names = [f"ask-{number:06d}" for number in range(start, min(start + 500, runs))]
        ids.update(names)
        events = [RunSubmitted(run_id=name, agent="asks", input={"question": QUESTION}) for name in names]
        await asyncio.gather(*[bench.producer.send(topic, event) for event in events])
    sent = time.perf_counter() - begun
    await asyncio.to_thread(bench.ended, ids)
    wall = time.perf_counter() - begun
    watching.cancel()
    after = await lateness(bench)
    samples = {bound: after[bound] - late[bound] for bound in after}
    total = samples[float("inf")]
    p99 = min(bound for bound, count in samples.items() if count >= total * 0.99)
    spent = sum(process.cpu_times()[:2]) - cpu
    print(
        f"{runs:,} runs that wait {wait:g} s: wall {wall:.2f} s = {wall / wait:.2f} x ideal, "
        f"submitted in {sent:.1f} s; "
        f"loop lag p99 at most {p99 * 1000:g} ms of {total:.0f} samples; "
        f"{(peak.rss - before) / runs / 1000:.1f} kB and {spent / runs * 1000:.2f} ms of CPU a run"
    )


class Peak:
    """The most memory that a process had."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.rss = 0

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            self.rss = max(self.rss, self._process.memory_info().rss)
            await asyncio.sleep(0.25)


async def lateness(bench: Bench) -> dict[float, float]:
    """Return how many samples of the worker's loop were at most so late, by bound in seconds."""
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"http://127.0.0.1:{bench.port}/metrics", timeout=30)).text
    found = {}
    for line in text.splitlines():
        if line.startswith("streams_worker_loop_lag_seconds_bucket"):
            name, count = line.rsplit(" ", 1)
            found[float(name.partition('le="')[2].partition('"')[0])] = float(count)
    return found


if __name__ == "__main__":
    asyncio.run(main())
