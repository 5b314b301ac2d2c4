"""Measures a rate of 30 calls in 60 s over two workers with 300 calls waiting: is it held, and how much of it is used.

`uv run python -m benchmarks.rate_limit` starts the embedded Kafka and two workers; it takes ten minutes, and with
`--quick` (30 calls in 6 s) one and a half. With `--kill` one of the two is killed on the way.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.runs import Bench
from benchmarks.stateful_reaction import cluster, stop
from schemas.run import RunSubmitted
from streams.local.ports import free_ports

COUNT, PER_S, QUICK_S = 30, 60.0, 6.0


async def main() -> None:
    """Submit, wait for all calls, print what the busiest window had and how much of the limit was used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--kill", action="store_true", help="kill -9 the first worker after a third of the calls")
    parser.add_argument("--quick", action="store_true", help="30 calls in 6 s instead of 60")
    options = parser.parse_args()
    agent, per_s = ("calls_quickly", QUICK_S) if options.quick else ("calls_once", PER_S)
    with cluster(options.bootstrap) as bootstrap, tempfile.TemporaryDirectory() as folder:
        bench = Bench(bootstrap, f"rate{int(time.time())}", folder, app="benchmarks.apps.limited,benchmarks.apps.steps")
        trace = Path(folder) / "calls"
        second: subprocess.Popen[bytes] | None = None
        try:
            await bench.prepare()
            second = other(bench, folder)
            await asyncio.sleep(8)  # it joins
            await submit(bench, agent, trace, options.calls)
            if options.kill and bench.worker is not None:
                await reached(trace, options.calls // 3, per_s)
                bench.worker.kill()
            await reached(trace, options.calls, per_s)
            report(trace, per_s)
        finally:
            if second is not None:
                stop(second)
            await bench.close()


def other(bench: Bench, folder: str) -> subprocess.Popen[bytes]:
    """Start a second worker."""
    command = [sys.executable, "-m", "streams", "worker", "--slot", "1", "--port", str(free_ports([0])[0])]
    with (Path(folder) / "second.log").open("wb") as log:
        return subprocess.Popen(
            command, env=bench.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


async def submit(bench: Bench, agent: str, trace: Path, calls: int) -> None:
    """Write the submissions."""
    topic = bench.names.agents(agent)
    for number in range(calls):
        event = RunSubmitted(run_id=f"rated-{number:05d}", agent=agent, input={"path": str(trace)})
        await bench.producer.send(topic, event)


async def reached(trace: Path, calls: int, per_s: float) -> None:
    """Wait for so many calls."""
    limit = time.monotonic() + 120 + calls / COUNT * per_s * 1.5
    while time.monotonic() < limit:
        if len(made(trace)) >= calls:
            return
        await asyncio.sleep(0.5)
    raise SystemExit(f"not within the time: {len(made(trace))} of {calls} calls")


def made(trace: Path) -> list[list[str]]:
    """Return the calls so far: their times in milliseconds and their processes."""
    return [line.split() for line in trace.read_text().splitlines()] if trace.exists() else []


def report(trace: Path, per_s: float) -> None:
    """Print the figures."""
    lines = made(trace)
    at = sorted(int(ms) / 1000 for ms, _ in lines)
    busiest = max(sum(1 for other in at if one <= other < one + per_s) for one in at)
    used = (len(at) - COUNT) / ((at[-1] - at[0]) / per_s * COUNT)
    by_worker = sorted((sum(1 for _, pid in lines if pid == one) for one in {pid for _, pid in lines}), reverse=True)
    print(
        f"{len(at)} calls in {at[-1] - at[0]:.1f} s: at most {busiest} in any {per_s:g} s, "
        f"{used:.1%} of {COUNT} per {per_s:g} s used; by worker {by_worker}"
    )


if __name__ == "__main__":
    asyncio.run(main())
