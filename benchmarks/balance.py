"""Shows how runs are shared between two workers of a pool, and what a third one takes over without a restart.

`uv run python -m benchmarks.balance` starts the embedded Kafka and the workers.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import tempfile
import time
from collections import Counter

import httpx

from benchmarks.runs import Bench
from benchmarks.stateful_reaction import cluster, stop
from schemas.run import RunSubmitted, RunSucceeded
from streams.local.ports import free_ports

LIMIT_S = 120


async def main() -> None:
    """Submit runs to one, two and three workers; print each one's share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--runs", type=int, default=1_000)
    options = parser.parse_args()
    with cluster(options.bootstrap) as bootstrap, tempfile.TemporaryDirectory() as folder:
        bench = Bench(
            bootstrap, f"balance{int(time.time())}", folder, app="benchmarks.apps.places,benchmarks.apps.steps"
        )
        others: list[subprocess.Popen[bytes]] = []
        try:
            await bench.prepare()
            for workers in (1, 2, 3):
                if workers > 1:
                    others.append(await joined(bench, workers - 1))
                await show(bench, workers, options.runs)
        finally:
            for other in others:
                stop(other)
            await bench.close()


async def joined(bench: Bench, slot: int) -> subprocess.Popen[bytes]:
    """Start one more worker of the same pool and wait until it has partitions."""
    port = free_ports([0])[0]
    process = bench.start(str(slot), port)
    limit = time.monotonic() + LIMIT_S
    async with httpx.AsyncClient(trust_env=False) as client:
        while time.monotonic() < limit and process.poll() is None:
            if await ready(client, port):
                return process
            await asyncio.sleep(0.1)
    raise SystemExit(f"worker {slot} is not ready: {bench.log.read_text()[-2000:]}")


async def ready(client: httpx.AsyncClient, port: int) -> bool:
    """Return whether a worker answers and is ready."""
    try:
        return (await client.get(f"http://127.0.0.1:{port}/readyz", timeout=5)).status_code == 200
    except httpx.TransportError:
        return False


async def show(bench: Bench, workers: int, runs: int) -> None:
    """Submit runs and print how many each worker did."""
    begun = time.perf_counter()
    ids = {f"placed-{workers}-{number}" for number in range(runs)}
    topic = bench.names.agents("placed")
    events = [RunSubmitted(run_id=run_id, agent="placed", input={"seconds": 0.05}) for run_id in sorted(ids)]
    await asyncio.gather(*[bench.producer.send(topic, event) for event in events])
    places = await asyncio.to_thread(shares, bench, ids)
    took = time.perf_counter() - begun
    print(
        f"{runs} runs on {workers} worker{'s' * (workers > 1)}: "
        f"{', '.join(f'{count / runs:.0%}' for count in sorted(places.values(), reverse=True))} in {took:.1f} s",
        flush=True,
    )


def shares(bench: Bench, ids: set[str]) -> Counter[int]:
    """Return how many runs each process has done, once all have ended; runs in a thread."""
    places: Counter[int] = Counter()
    limit = time.monotonic() + LIMIT_S
    while places.total() < len(ids):
        if time.monotonic() > limit:
            raise SystemExit(f"{len(ids) - places.total()} runs did not end: {bench.log.read_text()[-3000:]}")
        for message in bench.consumer.consume(2000, 0.05):
            kind, key = dict(message.headers() or []).get("ce_type"), (message.key() or b"").decode()
            if kind == b"run.succeeded" and key in ids:
                places[bench.codec.decode(message.value(), RunSucceeded).result] += 1
    return places


if __name__ == "__main__":
    asyncio.run(main())
