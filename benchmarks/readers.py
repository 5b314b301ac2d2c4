"""Measures thousands of readers of server-sent events on one gateway: how late they are told, and its memory.

`uv run python -m benchmarks.readers` starts the embedded Kafka, one worker and a gateway, opens `--readers` streams of
the bus and `--watchers` streams of waiting runs, says `--rate` events a second for `--seconds`, and reads along.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchmarks.endpoint import more_files
from benchmarks.stateful_reaction import cluster
from schemas.attributes import new_id
from tests.faults.rig.gateway import Gateway
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import until

MARK = b'"name":"late-'


async def main() -> None:
    """Open, say, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--readers", type=int, default=2_000, help="streams of the topic of events")
    parser.add_argument("--watchers", type=int, default=0, help="streams of runs that wait")
    parser.add_argument("--rate", type=float, default=10, help="events a second")
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    more_files()
    with cluster(options.bootstrap) as bootstrap, tempfile.TemporaryDirectory() as folder:
        async with Pipeline(bootstrap, Path(folder)) as pipeline:
            await pipeline.running("a")
            async with Gateway(pipeline) as gateway:
                await measure(pipeline, gateway, options)


class Reader(asyncio.Protocol):
    """One stream, read with as little work as can be: the time in each event's name against the clock."""

    def __init__(self, path: str, late: list[float]) -> None:
        self._path = path
        self._late = late
        self._rest = b""
        self.begun = False
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport
        head = f"GET {self._path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/event-stream\r\n\r\n"
        transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        """Note how late what comes is."""
        self.begun = True
        now, data = time.perf_counter(), self._rest + data
        place = data.find(MARK)
        while place >= 0:
            begin = place + len(MARK)
            end = data.find(b'"', begin)
            if end < 0:
                break
            self._late.append(now - float(data[begin:end]))
            place = data.find(MARK, end)
        self._rest = data[place:] if place >= 0 else data[1 - len(MARK) :]


async def measure(pipeline: Pipeline, gateway: Gateway, options: argparse.Namespace) -> None:
    """Open the streams, say the events, print."""
    process = psutil.Process(gateway.process.pid)
    before = process.memory_info().rss
    late: list[float] = []
    paths = ["/topics/events/events"] * options.readers
    if options.watchers:
        run_ids = await pipeline.submit_many(options.watchers, "waiter")
        await until(lambda: listed(gateway, options.watchers), 120)
        paths += [f"/runs/{run_id}/events" for run_id in run_ids]
    begun = time.perf_counter()
    readers = [await opened(gateway, path, late) for path in paths]
    await until(lambda: all(reader.begun for reader in readers), 120)
    opening = time.perf_counter() - begun
    print(f"{len(readers):,} streams opened in {opening:.1f} s", flush=True)
    begun, cpu = time.perf_counter(), sum(process.cpu_times()[:2])
    count = round(options.rate * options.seconds)
    for number in range(count):
        await asyncio.sleep(max(begun + number / options.rate - time.perf_counter(), 0))
        data = {"name": f"late-{time.perf_counter()}", "then": "nothing"}
        answer = await gateway.asker.post("/events", {"type": "probe.counted", "id": new_id(), "data": data})
        assert answer.status == 202, answer.body
    await until(lambda: len(late) >= count * options.readers, 60, lambda: f"{len(late):,} came")
    share = (sum(process.cpu_times()[:2]) - cpu) / (time.perf_counter() - begun)
    grown = (process.memory_info().rss - before) / max(len(readers), 1)
    if late:
        late.sort()
        print(
            f"{len(late):,} events told, {options.rate:g}/s to each of {options.readers:,}: "
            f"p50 {statistics.median(late) * 1000:.0f} ms after they were sent, "
            f"p99 {late[int(len(late) * 0.99)] * 1000:.0f} ms, last {late[-1] * 1000:.0f} ms"
        )
    print(f"gateway: {grown / 1000:.0f} kB a stream, {share:.0%} of a core")
    for reader in readers:
        if reader.transport is not None:
            reader.transport.abort()


async def listed(gateway: Gateway, count: int) -> bool:
    """Say whether so many runs wait; a page has a thousand at most."""
    answer = await gateway.asker.get("/runs", status="waiting", limit=str(min(count, 1000)))
    return answer.status == 200 and len(answer.json()["runs"]) == min(count, 1000)


async def opened(gateway: Gateway, path: str, late: list[float]) -> Reader:
    """Open a stream."""
    place = urlsplit(str(gateway.http.base_url))
    _, reader = await asyncio.get_running_loop().create_connection(
        lambda: Reader(path, late), place.hostname, place.port
    )
    return reader


if __name__ == "__main__":
    asyncio.run(main())
