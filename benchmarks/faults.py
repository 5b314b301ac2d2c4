"""Kills the only worker in the middle of its work, on ours, on Celery with Redis and on bare Faust, and counts.

`uv run python -m benchmarks.faults` prints a Markdown table in some seven minutes; `redis-server` must be installed. A
job leaves a trace outside, takes 20 ms and ends with an outcome; eight are under way at a time. All jobs are
acknowledged before the kill -9, which takes the worker's whole process group; it is started again at once. What has no
outcome when nothing has come for a minute, since the worker was back, counts as lost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple, Protocol

from benchmarks.peers.jobs import BareFaust, CeleryJobs, Ours
from benchmarks.stateful_reaction import cluster

JOBS = 300
PATIENCE_S = 150.0  # bare Faust's consumer group waits 60 s for a member that is gone
QUIET_S = 5.0  # without a new outcome, once all are there: nothing more is on its way
SILENT_S = 60.0  # the same while some are missing: they are lost, or come when nobody waits any more


class System(Protocol):
    """What is killed."""

    def start(self) -> subprocess.Popen[bytes]:
        """Start the worker as the leader of a process group."""

    async def submit(self, names: Sequence[str]) -> None:
        """Return once all are acknowledged."""

    def outcomes(self) -> Counter[str]:
        """Return how often each job has ended so far."""

    async def close(self) -> None:
        """Give everything back."""


class Figures(NamedTuple):
    """What one kill came to."""

    lost: int
    twice: int
    effects: int
    worst: int
    back_s: float


async def main() -> None:
    """Kill and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--kills", type=int, default=1, help="of each system")
    parser.add_argument("--only", default="", help="systems whose name holds this")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    random = Random(options.seed)
    print(f"seed {options.seed}, {JOBS} jobs and one kill a round, {options.kills} rounds each\n", flush=True)
    print("| system | acknowledged | lost | ended twice | effects repeated | most repeats | back after, s |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    with cluster(options.bootstrap) as bootstrap:
        systems: dict[str, Callable[[Path], System]] = {
            "Streams": lambda folder: Ours(bootstrap, folder),
            "Celery + Redis, acks early (default)": lambda folder: CeleryJobs(folder, late=False),
            "Celery + Redis, acks late": lambda folder: CeleryJobs(folder, late=True),
            "Celery + Redis, acks late, visibility 10 s": lambda folder: CeleryJobs(folder, late=True, visibility=10),
            "bare Faust": lambda folder: BareFaust(bootstrap, folder),
        }
        for name, make in systems.items():
            if options.only not in name:
                continue
            rounds = [await round_of(make, random.randint(40, 200)) for _ in range(options.kills)]
            print(line(name, rounds), flush=True)


async def round_of(make: Callable[[Path], System], after: int) -> Figures:
    """Submit, kill once `after` effects were seen, start again, wait, count."""
    with tempfile.TemporaryDirectory(prefix="streams-faults-") as name:
        folder = Path(name)
        system = make(folder)
        worker = system.start()
        try:
            await system.submit(["warm"])
            await until(lambda: system.outcomes()["warm"] > 0, PATIENCE_S)
            names = [f"job-{number:04d}" for number in range(JOBS)]
            await system.submit(names)
            await until(lambda: traces(folder).total() >= after, PATIENCE_S)
            kill(worker)
            before, begun = system.outcomes().total(), time.monotonic()
            worker = system.start()
            await until(lambda: system.outcomes().total() > before, PATIENCE_S)
            back = time.monotonic() - begun
            await settled(system, names, begun + PATIENCE_S)
            ends, seen = system.outcomes(), traces(folder)
            return Figures(
                lost=sum(1 for one in names if not ends[one]),
                twice=sum(max(0, ends[one] - 1) for one in names),
                effects=sum(1 for one in names if seen[one] > 1),
                worst=max(seen[one] - 1 for one in names),
                back_s=back,
            )
        finally:
            kill(worker)
            await system.close()


async def settled(system: System, names: Sequence[str], limit: float) -> None:
    """Wait until all jobs have ended and nothing new has come for a while, or until `limit`."""
    last, changed = system.outcomes(), time.monotonic()
    while time.monotonic() < limit:
        await asyncio.sleep(0.2)
        now = system.outcomes()
        if now != last:
            last, changed = now, time.monotonic()
        still = time.monotonic() - changed
        if still > SILENT_S or (still > QUIET_S and all(now[name] for name in names)):
            return


async def until(true: Callable[[], bool], seconds: float) -> None:
    """Wait for a condition; SystemExit when it does not come."""
    limit = time.monotonic() + seconds
    while not true():
        if time.monotonic() > limit:
            raise SystemExit(f"not within {seconds:g} s")
        await asyncio.sleep(0.02)


def traces(folder: Path) -> Counter[str]:
    """Return how often each effect was seen."""
    trace = folder / "trace"
    return Counter(trace.read_text().split()) if trace.exists() else Counter()


def kill(worker: subprocess.Popen[bytes]) -> None:
    """End the whole group with -9."""
    if worker.poll() is None:
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def line(name: str, rounds: Sequence[Figures]) -> str:
    """Return a system's line of the table."""
    back = statistics.median(one.back_s for one in rounds)
    sums = [sum(getattr(one, field) for one in rounds) for field in ("lost", "twice", "effects")]
    worst = max(one.worst for one in rounds)
    return f"| {name} | {JOBS * len(rounds)} | {sums[0]} | {sums[1]} | {sums[2]} | {worst} | {back:.1f} |"


if __name__ == "__main__":
    asyncio.run(main())
