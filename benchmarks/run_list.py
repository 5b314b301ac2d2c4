"""Measures `GET /runs` through a gateway with a history of a million ended runs in a real worker's store.

`uv run python -m benchmarks.run_list` starts the embedded Kafka, writes the rows and the submissions of the runs into
the store of a worker that has stopped, starts it again with a gateway, and asks for pages. The rows are written to the
store alone and not to its changelog: what is measured is reading.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.runs import PARTITIONS, Bench
from benchmarks.stateful_reaction import cluster, stop
from schemas.avro.codec import Codec
from schemas.journal import JournalEntry
from streams import clock
from streams.gateway.pages import cursor
from streams.journal.store_keys import LEDGER
from streams.local.ports import free_ports
from streams.local.spawn import spawn
from streams.query.codec import codec_of
from streams.runtime.partition_store import PartitionDatabase, PartitionStore, StoreOptions
from streams.tables.runs import RunRow
from streams.worker.runs.run_index import RUNS, RunIndex, entries_of
from tests.faults.rig.waiting import until
from topics.partition import partition_of

AGENTS = ("five_steps", "five_pure", "research", "triage", "scraper")
ENDINGS = ("succeeded",) * 18 + ("failed", "cancelled")
CHUNK = 5_000


async def main() -> None:
    """Load, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--runs", type=int, default=1_000_000, help="ended runs in the store")
    parser.add_argument("--asks", type=int, default=300, help="requests of each kind")
    options = parser.parse_args()
    with cluster(options.bootstrap) as bootstrap, tempfile.TemporaryDirectory() as folder:
        bench = Bench(bootstrap, f"list{int(time.time())}", folder)
        try:
            await bench.prepare()
            if bench.worker is not None:
                stop(bench.worker)
            begun = time.perf_counter()
            now_ms = clock.now_ms()
            await asyncio.to_thread(load, bench, options.runs, now_ms)
            print(f"{options.runs:,} ended runs written in {time.perf_counter() - begun:.0f} s", flush=True)
            begun = time.perf_counter()
            bench.worker = bench.start()  # the same worker again
            await serve(bench, options, now_ms, begun)
        finally:
            await bench.close()


def load(bench: Bench, count: int, now_ms: int) -> None:
    """Write rows, their entries in the index and the submissions, as the commits of that many runs have left them."""
    codec = codec_of(bench.settings, bench.catalog)
    run_index = RunIndex(codec, {})
    folder = next(Path(bench.settings.state_dir).rglob("stores"))
    dbs = {number: PartitionDatabase(folder / str(number), StoreOptions()) for number in range(PARTITIONS)}
    stores = {
        number: (PartitionStore(db, RUNS, "", number, run_index.index), PartitionStore(db, LEDGER, "", number))
        for number, db in dbs.items()
    }
    chance = random.Random(1)
    begun, over = (journal_row(codec, path) for path in ("~submitted", "~end/1"))
    template = RunRow(run_id="", agent="", status="", stage="report", progress=100, created_ms=0, updated_ms=0)
    fields = {**template.model_dump(), "step": "write", "endings": 1, "usage": {"llm_calls": 2, "cost_usd": 0.01}}
    for first in range(0, count, CHUNK):
        writes: dict[int, list[Any]] = {number: [] for number in dbs}
        for number in range(first, min(first + CHUNK, count)):
            created, run_id = now_ms - (count - number) * 100, f"k-{chance.randbytes(12).hex()}"
            fields |= {"run_id": run_id, "agent": chance.choice(AGENTS), "status": chance.choice(ENDINGS)}
            fields |= {"created_ms": created, "updated_ms": created + 2000, "key": f"customer-{number % 1000}"}
            key = run_id.encode()
            place = partition_of(key, PARTITIONS)
            rows, ledger = stores[place]
            found = writes[place]
            found.append((rows, key, codec.encode_fields(RunRow, fields)))
            found += [(rows.entries, at, b"") for at in entries_of(fields, fields["status"])]
            found += [(ledger, b"r/" + key + b"/~end/1", over), (ledger, b"r/" + key + b"/~submitted", begun)]
        for number, db in dbs.items():
            db.apply(writes[number], [])
    for db in dbs.values():
        db.close()


def journal_row(codec: Codec, path: str) -> bytes:
    """Return an entry: a list shows a run's input by its submission, and a restart looks for its end."""
    kind = path.strip("~").partition("/")[0]
    entry = JournalEntry(run_id="k", path=path, seq=1, kind=kind, status=kind, agent="research", input={"value": 1})
    return codec.encode(entry)


async def serve(bench: Bench, options: argparse.Namespace, now_ms: int, begun: float) -> None:
    """Start a gateway before the worker and ask it."""
    port = free_ports([0])[0]
    command = [sys.executable, "-m", "streams", "gateway"]
    environment = {**bench.environment, "STREAMS_GATEWAY_PORT": str(port)}
    output = Path(bench.settings.state_dir) / "gateway.log"
    gateway = await asyncio.to_thread(spawn, command, output=output.open("wb"), environment=environment)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            await until(lambda: answers(client), 120, lambda: output.read_text()[-2000:])
            print(f"worker and gateway answer {time.perf_counter() - begun:.1f} s after their start", flush=True)
            for name, queries in kinds(
                cursors(options.runs, now_ms), place(min(100_000, options.runs // 2), now_ms)
            ).items():
                await measure(client, name, queries, options.asks)
    finally:
        stop(gateway)


async def answers(client: httpx.AsyncClient) -> bool:
    """Say whether a list comes."""
    try:
        return (await client.get("/runs?limit=1")).status_code == 200
    except httpx.TransportError:
        return False


def cursors(count: int, now_ms: int) -> list[str]:
    """Return cursors all over the history: a run was submitted every 100 ms."""
    return [place(back, now_ms) for back in range(count // 100, count, count // 100)]


def place(back: int, now_ms: int) -> str:
    """Return the cursor behind so many of the newest runs."""
    return cursor(f"{clock.iso(now_ms - back * 100)}~~")


def kinds(deep: list[str], thousandth: str) -> dict[str, Iterator[dict[str, Any]]]:
    """Return what is asked."""
    chance = random.Random(2)

    def forever(*queries: dict[str, Any]) -> Iterator[dict[str, Any]]:
        while True:
            yield from queries

    def far(**more: Any) -> Iterator[dict[str, Any]]:
        while True:
            yield {"cursor": chance.choice(deep), **more}

    def far_of_agents() -> Iterator[dict[str, Any]]:
        while True:
            yield from (next(far(agent=agent, status="failed")) for agent in AGENTS)

    return {
        "first page (100)": forever({}),
        "first page of 50": forever({"limit": 50}),
        "agent and status": forever(*({"agent": agent, "status": "failed"} for agent in AGENTS)),
        "status": forever({"status": "cancelled"}, {"status": "failed"}, {"status": "running"}),
        "concurrency key": forever(*({"key": f"customer-{number}"} for number in range(50))),
        "anywhere in the history": far(),
        "anywhere, of a status": far(status="failed"),
        "anywhere, of an agent and a status": far_of_agents(),
        "page 1,000": forever({"cursor": thousandth}),
        "page 1,000 of an agent": forever(*({"cursor": thousandth, "agent": agent} for agent in AGENTS)),
    }


async def measure(client: httpx.AsyncClient, name: str, queries: Iterator[dict[str, Any]], asks: int) -> None:
    """Ask one after the other and print the percentiles."""
    times = []
    for _ in range(asks):
        query = next(queries)
        begun = time.perf_counter()
        answer = await client.get("/runs", params=query)
        times.append((time.perf_counter() - begun) * 1000)
        if answer.status_code != 200:
            raise SystemExit(f"{query}: {answer.status_code} {answer.text}")
    times.sort()
    print(f"{name}: p50 {statistics.median(times):.1f} ms, p99 {times[int(len(times) * 0.99)]:.1f} ms", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
