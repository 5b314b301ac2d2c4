"""Measures an append and its commit on the worker's runtime: alone, and with many clients that wait at once.

`uv run python -m benchmarks.appends` starts the embedded Kafka. An append is one row of 500 bytes, written to its
changelog and store in a transaction of the assignment that owns it; a client appends again once it is committed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import os
import statistics
import tempfile
import time
from pathlib import Path

from confluent_kafka.admin import AdminClient  # type: ignore[attr-defined]

from benchmarks.payload import PARTITIONS
from benchmarks.stateful_reaction import cluster, create
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.faust.app import App, end_process
from streams.runtime.runtime import Runtime, RuntimeSettings
from streams.runtime.store_index import StoreSpec

VALUE = b"x" * 500
KEYS = 10_000


def crash(error: Exception) -> None:
    """End at once, with the reason in the log."""
    logging.getLogger(__name__).error("ends", exc_info=error)
    end_process(3)


class Appender:
    """Appends to the assignments in turn."""

    def __init__(self, runtime: Runtime) -> None:
        """Append through `runtime`."""
        self._runtime = runtime
        self._assignments = itertools.cycle(runtime.assignments.values())
        self._numbers = itertools.count()

    async def append(self) -> float:
        """Append one row and return the milliseconds until it was committed."""
        begun = time.perf_counter()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        unit = CommitUnit(next(self._assignments))
        unit.put(unit.assignment.stores["rows"], b"%d" % (next(self._numbers) % KEYS), VALUE)
        unit.on_commit.append(lambda: done.set_result(None))
        self._runtime.committer.add(unit)
        await done
        return (time.perf_counter() - begun) * 1000

    async def clients(self, count: int, seconds: float) -> tuple[float, list[float]]:
        """Return appends a second and all waiting times with so many clients."""
        end = time.perf_counter() + seconds
        times: list[float] = []

        async def client() -> None:
            while time.perf_counter() < end:
                times.append(await self.append())

        begun = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(count)))
        return len(times) / (time.perf_counter() - begun), sorted(times)


async def measure(bootstrap: str, folder: Path, seconds: float) -> None:
    """Own four partitions, append, print."""
    create(AdminClient({"bootstrap.servers": bootstrap}), "appends.in", "appends.journal", "appends.rows")
    runtime = Runtime(
        RuntimeSettings(
            client={"bootstrap.servers": bootstrap},
            group="appends",
            slot="0",
            folder=folder,
            ledger=StoreSpec("journal", "appends.journal"),
            stores=(StoreSpec("rows", "appends.rows"),),
        ),
        crash=crash,
    )
    app = App("appends", runtime=runtime, loop=asyncio.get_running_loop())

    @app.agent(app.topic("appends.in", key_type=bytes, value_type=bytes, value_serializer="raw"))
    async def ignore(stream: object) -> None:
        async for _ in stream.batches():  # type: ignore[attr-defined]
            pass

    app.finalize()
    await app.start()
    await runtime.opened.wait()
    while len(runtime.assignments) < PARTITIONS:
        await runtime.next_snapshot()
    appender = Appender(runtime)
    await appender.clients(1, 2)  # a first commit asks the coordinator for its epoch; that is not the subject
    for count in (1, 64, 512):
        rate, times = await appender.clients(count, seconds)
        p99 = times[int(len(times) * 0.99)]
        print(
            f"{count:>4} waiting clients: {rate:>8,.0f} appends/s, p50 {statistics.median(times):.1f} ms, "
            f"p99 {p99:.1f} ms",
            flush=True,
        )
    await app.stop()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    with cluster(options.bootstrap) as bootstrap, tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(bootstrap, Path(folder), options.seconds))


if __name__ == "__main__":
    main()
