"""Measures runs of five steps: one at a time from submission to result, and many at once on one worker.

`uv run python -m benchmarks.runs` starts the embedded Kafka and one worker process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from confluent_kafka import Consumer, TopicPartition

from benchmarks.stateful_reaction import cluster, stop
from schemas.run import RunSubmitted
from streams import clock
from streams.app import discover
from streams.local.ports import free_ports
from streams.query.codec import codec_of
from streams.settings import load
from topics import admin
from topics.catalogue import catalogue
from topics.names import Names
from topics.producer import EventProducer

PARTITIONS = 4
APP = "benchmarks.apps.steps"


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--lone", type=int, default=200, help="runs one at a time")
    parser.add_argument("--many", type=int, default=5000, help="runs at once")
    options = parser.parse_args()
    with cluster(options.bootstrap) as bootstrap, tempfile.TemporaryDirectory() as folder:
        bench = Bench(bootstrap, f"runs{int(time.time())}", folder)
        try:
            await bench.prepare()
            for agent in ("five_steps", "five_pure"):
                await bench.lone(agent, 20)
                times = sorted(await bench.lone(agent, options.lone))
                print(
                    f"lone {agent}: p50 {statistics.median(times):.1f} ms, p99 {times[int(len(times) * 0.99)]:.1f} ms",
                    flush=True,
                )
            for agent in ("five_steps", "five_pure"):
                rate, cpu = await bench.many(agent, options.many)
                print(f"{options.many} runs of {agent} at once: {rate:,.0f} runs/s, {cpu * 1e6:,.0f} us CPU a run")
        finally:
            await bench.close()


class Bench:
    """A worker, a producer of submissions, a reader of endings."""

    def __init__(self, bootstrap: str, prefix: str, folder: str, app: str = APP) -> None:
        """Use names under `prefix` and the agents of `app`."""
        self.port = free_ports([0])[0]
        values = {"kafka_bootstrap_servers": bootstrap, "topic_prefix": prefix, "partitions": PARTITIONS}
        self.settings = load(**values, apps=app, state_dir=folder)
        self.names = Names(prefix)
        self.catalog = discover(app.split(","))
        self.environment = {
            **os.environ,
            **{f"STREAMS_{name.upper()}": str(value) for name, value in values.items()},
            "STREAMS_APPS": app,
            "STREAMS_STATE_DIR": folder,
        }
        self.log = Path(folder) / "worker.log"
        self.worker: subprocess.Popen[bytes] | None = None
        self.codec = codec_of(self.settings, self.catalog)
        self.producer = EventProducer(self.settings.kafka(), self.codec, "/benchmark", now_ms=clock.now_ms)
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "bench",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 5,
            }
        )
        self.count = 0

    async def prepare(self) -> None:
        """Declare the topics, start the worker, wait for the first run to end."""
        self.declare()
        self.listen()
        self.worker = self.start()
        await self.lone("five_steps", 1)

    def listen(self) -> None:
        """Read endings from the beginning on."""
        self.consumer.assign([TopicPartition(self.names.runs, number, 0) for number in range(PARTITIONS)])

    def declare(self) -> None:
        """Make the topics."""
        wanted = catalogue(
            self.settings.topic_prefix,
            agents=[(agent.name, agent.pool) for agent in self.catalog.agents.values()],
            sources=sorted(self.catalog.sources),
            tables=self.catalog.changelogs(),
            pools=self.catalog.pools(),
        )
        kafka = self.settings.kafka()
        current = admin.describe(kafka, [topic.name for topic in wanted])
        admin.apply(kafka, admin.plan(current, wanted, partitions=PARTITIONS, replication_factor=1))

    def start(self, slot: str = "0", port: int | None = None) -> subprocess.Popen[bytes]:
        """Start a worker in a slot, as the leader of a process group; all write into one log."""
        command = [sys.executable, "-m", "streams", "worker", "--slot", slot, "--port", str(port or self.port)]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    async def submit(self, agent: str) -> str:
        """Submit a run and wait for the broker."""
        self.count += 1
        run_id = f"run-{self.count:08d}"
        event = RunSubmitted(run_id=run_id, agent=agent, input={"value": self.count})
        await self.producer.send(self.names.agents(agent), event)
        return run_id

    def ended(self, left: set[str]) -> None:
        """Read endings until `left` is empty; runs in a thread."""
        limit = time.monotonic() + 120
        while left:
            if time.monotonic() > limit or (self.worker is not None and self.worker.poll() is not None):
                raise SystemExit(f"{len(left)} runs did not end: {self.log.read_text()[-3000:]}")
            first = self.consumer.poll(0.05)
            for message in [first, *self.consumer.consume(2000, 0)] if first is not None else []:
                kind = dict(message.headers() or []).get("ce_type")
                if kind == b"run.succeeded":
                    left.discard((message.key() or b"").decode())

    async def lone(self, agent: str, runs: int) -> list[float]:
        """Return milliseconds from submission to the ending on the log, one run after the other."""
        times = []
        for _ in range(runs):
            begun = time.perf_counter()
            run_id = await self.submit(agent)
            await asyncio.to_thread(self.ended, {run_id})
            times.append((time.perf_counter() - begun) * 1000)
        return times

    async def many(self, agent: str, runs: int) -> tuple[float, float]:
        """Return runs a second and CPU seconds a run of the worker, from the first submission to the last ending."""
        process = psutil.Process(self.worker.pid if self.worker else 0)
        cpu, begun = sum(process.cpu_times()[:2]), time.perf_counter()
        ids: set[str] = set()
        for start in range(0, runs, 500):
            ids.update(await asyncio.gather(*[self.submit(agent) for _ in range(min(500, runs - start))]))
        await asyncio.to_thread(self.ended, ids)
        took = time.perf_counter() - begun
        return runs / took, (sum(process.cpu_times()[:2]) - cpu) / runs

    async def close(self) -> None:
        """Stop the worker."""
        if self.worker is not None:
            stop(self.worker)
        self.consumer.close()
        await self.producer.close()


if __name__ == "__main__":
    asyncio.run(main())
