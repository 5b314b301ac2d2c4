"""Measures reads of rows at 200 requests a second, quiet and while workers join, leave and are killed.

`uv run python -m benchmarks.queries` starts the embedded Kafka, two workers and a gateway. Every answer is held against
a model: a wrong one ends the run. `--own` also writes and reads back that many times with the offset of the 202.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks.stateful_reaction import cluster
from tests.faults.rig.asker import Asker
from tests.faults.rig.gateway import Gateway
from tests.faults.rig.pipeline import CLUSTER, Pipeline, Worker
from tests.faults.rig.queries import Model, Traffic

NAMES = [f"name-{number}" for number in range(40)]


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--rate", type=float, default=200, help="reads a second")
    parser.add_argument("--quiet", type=float, default=20, help="seconds without a change")
    parser.add_argument("--moves", type=float, default=60, help="seconds of joins, leaves and kills")
    parser.add_argument("--own", type=int, default=10_000, help="writes that are read back")
    options = parser.parse_args()
    with cluster(options.bootstrap) as bootstrap, tempfile.TemporaryDirectory() as folder:
        async with Pipeline(bootstrap, Path(folder)) as pipeline:
            workers = [await pipeline.running("a"), await pipeline.running("b")]
            async with Gateway(pipeline) as gateway:
                await own(gateway, options.own)
                await local(pipeline, gateway, workers, options)
                await moving(pipeline, gateway, workers, options)


async def own(gateway: Gateway, count: int) -> None:
    """Write and read back with the offset, as twenty clients."""
    traffic = Traffic(gateway.asker, [f"own-{number}" for number in range(20)], 1)
    begun = time.perf_counter()

    async def again(name: str) -> None:
        for _ in range(count // 20):
            await traffic.count(name)
            await traffic.ask(gateway.asker, f"/tables/counts/{name}", name, own=True)

    async with asyncio.TaskGroup() as group:
        for name in traffic.model.keys:
            group.create_task(again(name))
    took = time.perf_counter() - begun
    print(f"read your writes: {traffic.model.statuses[200]:,} of {count:,} in {took:.0f} s", end="; ")
    tell(traffic.model)


async def local(pipeline: Pipeline, gateway: Gateway, workers: list[Worker], options: argparse.Namespace) -> None:
    """Read through the gateway and from the owner itself, while counters are written."""
    traffic = Traffic(gateway.asker, NAMES, 2)
    homes = {name: await owner(pipeline, name, workers) for name in NAMES}
    await asyncio.gather(*(traffic.count(name) for name in NAMES))
    print(f"{len(set(map(id, homes.values())))} workers own the {len(NAMES)} keys")
    async with asyncio.TaskGroup() as group:
        for name in NAMES[:10]:
            group.create_task(traffic.write(name))
        reading = group.create_task(traffic.read(options.rate))
        await asyncio.sleep(options.quiet)
        print("through the gateway:", end=" ")
        tell(traffic.model)
        traffic.stop()
        await reading
    straight = Traffic(gateway.asker, NAMES, 3)
    askers = {id(worker): Asker(worker.url, CLUSTER) for worker in workers}
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(options.rate * options.quiet)):
            await asyncio.sleep(max(begun + number / options.rate - time.perf_counter(), 0))
            name = NAMES[number % len(NAMES)]
            straight.model.keys[name].sent = traffic.model.keys[name].sent
            group.create_task(straight.ask(askers[id(homes[name])], f"/owner/tables/counts/{name}", name, own=False))
    for asker in askers.values():
        await asker.aclose()
    print("from the owner:", end=" ")
    tell(straight.model)


async def owner(pipeline: Pipeline, name: str, workers: list[Worker]) -> Worker:
    """Return the worker that owns a key."""
    for worker in workers:
        try:
            if (await worker.owner.get(f"/owner/tables/counts/{name}")).status_code != 421:
                return worker
        except httpx.TransportError:
            continue
    raise SystemExit(f"nobody owns {name}, on partition {pipeline.partition(name)}")


async def moving(pipeline: Pipeline, gateway: Gateway, workers: list[Worker], options: argparse.Namespace) -> None:
    """Read while workers come and go."""
    traffic = Traffic(gateway.asker, [f"moving-{name}" for name in NAMES], 4)
    moves = 0
    async with asyncio.TaskGroup() as group:
        for name in traffic.model.keys:
            group.create_task(traffic.write(name, pause=0.2))
        group.create_task(traffic.read(options.rate))
        end = time.perf_counter() + options.moves
        while time.perf_counter() < end:
            guest = await pipeline.running("c")
            await asyncio.sleep(3)
            if moves % 2:
                await workers[0].stop()
            else:
                workers[0].kill()
            await asyncio.sleep(8)
            workers[0] = await pipeline.running("a")
            await guest.stop()
            moves += 1
        traffic.stop()
    exact = 0
    for name, key in traffic.model.keys.items():
        await traffic.ask(gateway.asker, f"/tables/counts/{name}", name, own=True)
        exact += key.seen == key.acknowledged == key.sent
    print(
        f"{moves} rounds of join, {'kill or leave'}, leave; {exact} of {len(NAMES)} counters exact at the end:", end=" "
    )
    tell(traffic.model)


def tell(model: Model) -> None:
    """Print what was answered and how fast."""
    slowest, times = model.slowest(), model.times()
    if model.wrong:
        raise SystemExit("\n".join(["wrong:", *model.wrong[:20]]))
    statuses = ", ".join(f"{count:,} x {status}" for status, count in sorted(model.statuses.items()))
    p50, p99 = statistics.median(times), times[int(len(times) * 0.99)]
    print(f"{statuses}, none wrong, p50 {p50:.1f} ms, p99 {p99:.1f} ms, slowest {slowest:.1f} s", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
