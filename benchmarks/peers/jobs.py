"""The systems that `benchmarks.faults` kills: each starts its worker, takes jobs and tells the outcomes."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient  # type: ignore[attr-defined]

from benchmarks.peers.isolated import HERE, command
from benchmarks.runs import Bench
from benchmarks.stateful_reaction import create
from schemas.run import RunSubmitted
from streams.local.ports import free_ports

PARTITIONS = 4
CELERY = ["celery[redis]==5.7.0"]
FAUST = ["faust-streaming==0.15.3", "mode-streaming==0.7.1"]


class Reader:
    """Counts the keys of a topic's committed records."""

    def __init__(self, bootstrap: str, topic: str, kind: bytes | None = None) -> None:
        """Read from the start; with `kind`, only events of that type."""
        self._kind = kind
        self._found: Counter[str] = Counter()
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "outcomes", "enable.auto.commit": False})
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])

    def counts(self) -> Counter[str]:
        """Return what was read so far."""
        for message in self._consumer.consume(1000, 0.02):
            if message.error() is None and self._kind in (None, dict(message.headers() or []).get("ce_type")):
                self._found[(message.key() or b"").decode()] += 1
        return Counter(self._found)

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()


class Ours:
    """A worker of ours."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        """Declare the topics."""
        self._trace = folder / "trace"
        self._bench = Bench(bootstrap, f"faults{time.time_ns()}", str(folder), app="benchmarks.apps.fault_job")
        self._bench.declare()
        self._reader = Reader(bootstrap, self._bench.names.runs, b"run.succeeded")

    def start(self) -> subprocess.Popen[bytes]:
        """Start it in its slot."""
        return self._bench.start()

    async def submit(self, names: Sequence[str]) -> None:
        """Put the submissions on the queue; the run's id is the job's name."""
        topic = self._bench.names.agents("fault_job")
        events = [
            RunSubmitted(run_id=name, agent="fault_job", input={"name": name, "trace": str(self._trace)})
            for name in names
        ]
        await asyncio.gather(*(self._bench.producer.send(topic, event) for event in events))

    def outcomes(self) -> Counter[str]:
        """Return the endings of runs."""
        return self._reader.counts()

    async def close(self) -> None:
        """Close the clients."""
        self._reader.close()
        await self._bench.close()


class CeleryJobs:
    """A Celery worker with eight processes and a Redis of its own."""

    def __init__(self, folder: Path, *, late: bool, visibility: int = 0) -> None:
        """Start Redis; `visibility` in seconds, 0 for the default of an hour."""
        server = shutil.which("redis-server")
        if server is None:
            raise SystemExit("Redis is not installed: `apt install redis-server`")
        self._port = str(free_ports([0])[0])
        self._redis = subprocess.Popen(
            [server, "--port", self._port, "--save", "", "--dir", str(folder)], stdout=subprocess.DEVNULL
        )
        url = f"redis://127.0.0.1:{self._port}/0"
        self._rest = (url, "late" if late else "early", str(visibility), str(folder / "trace"))
        self._log = folder / "worker.log"

    def start(self) -> subprocess.Popen[bytes]:
        """Start the worker."""
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command("celery_jobs.py", CELERY, "worker", *self._rest),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=HERE,
            )

    async def submit(self, names: Sequence[str]) -> None:
        """Send the tasks; RuntimeError if Redis did not take them."""
        done = await asyncio.to_thread(
            subprocess.run,
            command("celery_jobs.py", CELERY, "submit", *self._rest),
            input="\n".join(names).encode(),
            capture_output=True,
            check=True,
            cwd=HERE,
        )
        if b"acknowledged" not in done.stdout:
            raise RuntimeError(done.stderr.decode())

    def outcomes(self) -> Counter[str]:
        """Return the list of outcomes."""
        asked = ["redis-cli", "-p", self._port, "LRANGE", "outcomes", "0", "-1"]
        return Counter(subprocess.run(asked, capture_output=True, check=True, text=True).stdout.split())

    async def close(self) -> None:
        """Stop Redis."""
        self._redis.terminate()
        self._redis.wait()


class BareFaust:
    """A Faust worker on its stock transport."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        """Make the topics."""
        self._in, self._out = f"jobs{time.time_ns()}.in", f"jobs{time.time_ns()}.out"
        create(AdminClient({"bootstrap.servers": bootstrap}), self._in, self._out)
        self._producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
        self._reader = Reader(bootstrap, self._out)
        self._arguments = (bootstrap, self._in, self._out, str(folder / "trace"), str(folder))
        self._log = folder / "worker.log"

    def start(self) -> subprocess.Popen[bytes]:
        """Start the worker."""
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command("faust_jobs.py", FAUST, *self._arguments),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=HERE,
            )

    async def submit(self, names: Sequence[str]) -> None:
        """Produce and wait for the broker."""
        for name in names:
            self._producer.produce(self._in, name.encode(), name.encode())
        if await asyncio.to_thread(self._producer.flush, 30):
            raise RuntimeError("not all events were acknowledged")

    def outcomes(self) -> Counter[str]:
        """Return the records of the output topic."""
        return self._reader.counts()

    async def close(self) -> None:
        """Close the reader."""
        self._reader.close()
