"""Measures the same five steps on DBOS over PostgreSQL and on a worker of ours, one after the other on one machine.

`uv run python -m benchmarks.runs_peer`; the peer is installed into an environment of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import tempfile
import time

import orjson

from benchmarks.peers.isolated import command
from benchmarks.peers.postgres import postgres
from benchmarks.runs import Bench
from benchmarks.stateful_reaction import cluster

REQUIREMENTS = ["dbos==3.4.0"]


async def main() -> None:
    """Measure both and print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lone", type=int, default=100, help="runs one at a time")
    parser.add_argument("--peer", type=int, default=500, help="runs at once, of the peer")
    parser.add_argument("--many", type=int, default=5000, help="runs at once, of ours")
    options = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    with postgres() as url:
        peer = peer_figures(url, options.lone, options.peer)
    best = max(peer["runs_per_s_20"], peer["runs_per_s_100"])
    print(f"{REQUIREMENTS[0]} on PostgreSQL: lone p50 {peer['p50_ms']:.1f} ms, p99 {peer['p99_ms']:.1f} ms; ", end="")
    print(f"{peer['runs_per_s_20']:,.0f} runs/s with 20 at once, {peer['runs_per_s_100']:,.0f} with 100", flush=True)
    p50, p99, rate = await ours(options.lone, options.many)
    print(f"streams on Kafka: lone p50 {p50:.1f} ms, p99 {p99:.1f} ms; {rate:,.0f} runs/s; {rate / best:.1f} times")
    print(f"load after: {os.getloadavg()[0]:.1f}")


def peer_figures(url: str, lone: int, runs: int) -> dict[str, float]:
    """Return what the peer measured of itself; SystemExit with its last words if it failed."""
    done = subprocess.run(
        command("dbos_app.py", REQUIREMENTS, url, str(lone), str(runs)), capture_output=True, check=False, timeout=600
    )
    if done.returncode:
        raise SystemExit(done.stderr.decode()[-3000:])
    figures: dict[str, float] = orjson.loads(done.stdout.splitlines()[-1])
    return figures


async def ours(lone: int, runs: int) -> tuple[float, float, float]:
    """Return p50 and p99 of a lone run in milliseconds, and runs a second."""
    with cluster(None) as bootstrap, tempfile.TemporaryDirectory() as folder:
        bench = Bench(bootstrap, f"peer{int(time.time())}", folder)
        try:
            await bench.prepare()
            await bench.lone("five_steps", 20)
            times = sorted(await bench.lone("five_steps", lone))
            rate, _ = await bench.many("five_steps", runs)
            return statistics.median(times), times[int(len(times) * 0.99)], rate
        finally:
            await bench.close()


if __name__ == "__main__":
    asyncio.run(main())
