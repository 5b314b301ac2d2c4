"""Measures how long a partition with many rows is away when its worker is killed, without a standby and with one.

`uv run python -m benchmarks.failover` starts the embedded Kafka, fills a table's changelog, starts its owner and a
spare worker, kills the owner and asks the other for a row until it has one; an event that is sent at the kill is waited
for, too. The group notices the death after its session of six seconds, in both cases.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from confluent_kafka import Producer

from benchmarks.apps.customers import Customer, CustomerSeen, customers
from benchmarks.stateful_reaction import cluster, stop
from streams import clock
from streams.app import discover
from streams.local.declare import declare_topics
from streams.local.ports import free_ports
from streams.query.cluster import authorization, cluster_secret
from streams.query.codec import codec_of
from streams.settings import child_environment, load
from topics.names import Names
from topics.producer import EventProducer

APP = "benchmarks.apps.customers"
LIMIT_S = 180
MOST_STARTS = 8
ROW = "/owner/tables/customers/customer-00000000"
LAG = re.compile(r'^streams_worker_standby_lag_records\{partition="0"\} ([\d.e+]+)$', re.MULTILINE)


async def main() -> None:
    """Measure without and with a standby, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    with cluster(options.bootstrap) as bootstrap:
        for standbys in (0, 1):
            with tempfile.TemporaryDirectory() as folder:
                served, counted = await Failover(bootstrap, Path(folder), standbys).measure(options.rows)
            print(
                f"{options.rows:,} rows, standbys {standbys}: first row {served:.1f} s after the kill, "
                f"first event {counted:.1f} s",
                flush=True,
            )


class Failover:
    """Two workers of one partition, of which one is killed."""

    def __init__(self, bootstrap: str, folder: Path, standbys: int) -> None:
        """Use names of its own."""
        self.settings = load(
            kafka_bootstrap_servers=bootstrap,
            topic_prefix=f"failover{standbys}x{int(time.time())}",
            partitions=1,
            standbys=standbys,
            apps=APP,
            state_dir=folder,
        )
        self.names = Names(self.settings.topic_prefix)
        self.codec = codec_of(self.settings, discover(self.settings.apps))
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []

    async def measure(self, rows: int) -> tuple[float, float]:
        """Return the seconds from the kill to the first row and to the first event that counts."""
        await asyncio.to_thread(declare_topics, self.settings)
        await asyncio.to_thread(self._fill, rows)
        producer = EventProducer(self.settings.kafka(), self.codec, "/benchmark", now_ms=clock.now_ms)
        shown = {"authorization": authorization(cluster_secret(self.settings))}
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=10, headers=shown) as http:
                owner, other = await self._pair(http)
                if self.settings.standbys:
                    await self._until(http, other + "/metrics", LAG)
                owner.kill()
                killed = time.perf_counter()
                ack = await producer.send(self.names.events, CustomerSeen(name="customer-00000000"))
                served = await self._until(http, other + ROW) - killed
                counted = await self._until(http, f"{other}{ROW}?consistency=offset:{ack.offset}") - killed
                return served, counted
        finally:
            for process in self.started:
                stop(process)
            await producer.close()

    async def _pair(self, http: httpx.AsyncClient) -> tuple[subprocess.Popen[bytes], str]:
        """Return the owner and the URL of a spare worker that never had the partition.

        The group may give it to whoever joins: then that one is the owner, and another spare is started.
        """
        owner, url = self._start()
        await self._until(http, url + ROW)
        for _ in range(MOST_STARTS):
            spare, other = self._start()
            await self._until(http, other + "/readyz")
            if (await http.get(url + ROW)).status_code == httpx.codes.OK:
                return owner, other
            await self._until(http, other + ROW)
            stop(owner)
            owner, url = spare, other
        raise SystemExit("the group gives the partition to every worker that joins")

    async def _until(self, http: httpx.AsyncClient, url: str, lag: re.Pattern[str] | None = None) -> float:
        """Ask until the answer is 200 (and the copy's lag is 0); return when that was."""
        limit = time.monotonic() + LIMIT_S
        while time.monotonic() < limit:
            try:
                said = await http.get(url)
            except httpx.TransportError:
                said = None
            if said is not None and said.status_code == httpx.codes.OK:
                found = None if lag is None else lag.search(said.text)
                if lag is None or (found is not None and float(found.group(1)) == 0):
                    return time.perf_counter()
            await asyncio.sleep(0.02)
        raise SystemExit(f"{url} does not answer: {self._words()}")

    def _start(self) -> tuple[subprocess.Popen[bytes], str]:
        port, slot = free_ports([0])[0], str(len(self.started))
        command = [sys.executable, "-m", "streams", "worker"]
        environment = child_environment(self.settings, slot=slot, worker_port=port)
        with (self.folder / f"worker-{slot}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.started.append(process)
        return process, f"http://127.0.0.1:{port}"

    def _words(self) -> str:
        return "\n".join(log.read_text("utf-8", "replace")[-2000:] for log in self.folder.glob("worker-*.log"))

    def _fill(self, rows: int) -> None:
        topic = self.names.table(customers.name, customers.version, customers.pool)
        producer = Producer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap_servers,
                "linger.ms": 20,
                "queue.buffering.max.messages": 500_000,
            }
        )
        for number in range(rows):
            row = self.codec.encode(Customer(name=f"customer-{number:08d}", orders=number % 50))
            while True:
                try:
                    producer.produce(topic, row, f"customer-{number:08d}", partition=0)
                    break
                except BufferError:
                    producer.poll(0.1)
            if number % 10_000 == 0:
                producer.poll(0)
        producer.flush()


if __name__ == "__main__":
    asyncio.run(main())
