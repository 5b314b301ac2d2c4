"""Two workers of the stateful reaction, a steady producer, and the count of what came out."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import uuid
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import Message, Producer

from streams import clock
from tests.faults.rig.forked import ForkedProcess, fork
from tests.faults.rig.log import Log
from tests.faults.rig.pipeline import ROOT
from tests.faults.rig.reaction import COUNTS, LEDGER, launch, topics
from tests.faults.rig.waiting import PATIENCE_S, until
from topics import Topic
from topics.admin import apply, plan
from topics.kafka import KafkaConfig

KEYS = 500
RATE = 1000  # events a second: enough that no transaction is without some


class Feed:
    """Writes numbered events at a steady rate in a thread until told to stop; each is acknowledged."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "max.in.flight": 1,  # with more, a batch can be overtaken and lost on a partition that is new
                "message.timeout.ms": 120_000,
            }
        )
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0
        self.acked = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _run(self) -> None:
        pause, chunk = 0.02, RATE // 50
        while not self._halt.wait(pause):
            for _ in range(chunk):
                key = b"k%04d" % (self.sent % KEYS)
                self._producer.produce(self._topic, b"%09d" % self.sent, key, on_delivery=self._acknowledged)
                self.sent += 1
            self._producer.poll(0)

    def _acknowledged(self, error: object, message: Message) -> None:
        assert error is None, error
        assert message.offset() is not None, "the broker does not say where it is"
        self.acked += 1

    async def stop(self) -> int:
        """End and return how many were acknowledged: all."""
        self._halt.set()
        await asyncio.to_thread(self._thread.join)
        assert await asyncio.to_thread(self._producer.flush, 120) == 0
        assert self.acked == self.sent
        return self.acked


class Stateful:
    """One prefix with its topics, its feed and its processes."""

    def __init__(self, bootstrap: str, folder: Path, partitions: int = 4) -> None:
        """Make nothing before it is entered."""
        self.bootstrap = bootstrap
        self.prefix = f"f{uuid.uuid4().hex[:10]}"
        self.names = topics(self.prefix)
        self.partitions = partitions
        self.processes: list[ForkedProcess] = []
        self._folder = folder
        self.feed = Feed(bootstrap, self.names["in"])
        self.out = Log(KafkaConfig(bootstrap), self.names["out"])
        self.counts = Log(KafkaConfig(bootstrap), self.names[COUNTS])

    async def __aenter__(self) -> Self:
        """Make the topics."""
        made = [
            Topic(name, "fault test", cleanup="compact" if kind in (LEDGER, COUNTS) else "delete")
            for kind, name in self.names.items()
        ]
        await asyncio.to_thread(apply, KafkaConfig(self.bootstrap), plan({}, made, partitions=self.partitions))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what still runs."""
        for process in self.processes:
            process.kill()
            process.wait()
        await asyncio.to_thread(self.out.close)
        await asyncio.to_thread(self.counts.close)

    def start(self, slot: str, *fuse: str | int) -> ForkedProcess:
        """Start a worker in a slot."""
        arguments = [self.bootstrap, self.prefix, slot, str(self._folder / slot), *map(str, fuse)]
        log = self.log(len(self.processes))
        process = fork(launch, arguments, output=log, environment=os.environ, folder=ROOT)
        self.processes.append(process)
        return process

    def log(self, number: int) -> Path:
        """Return the log file of the n-th process."""
        return self._folder / f"reaction-{number}.log"

    def words(self) -> str:
        """Return the end of what each process said."""
        logs = [self.log(number) for number in range(len(self.processes))]
        return "\n---\n".join(log.read_text("utf-8", "replace")[-1500:] for log in logs)

    async def flows(self, more: int = 500, seconds: float = PATIENCE_S) -> None:
        """Wait until so many more events have come out."""
        before = len(await self.out.all())

        async def more_came() -> bool:
            return len(await self.out.all()) >= before + more

        await until(more_came, seconds, self.words)

    async def flows_on(self, partitions: Iterable[int], seconds: float = PATIENCE_S) -> float:
        """Wait until something new has come out on each of these partitions; return after how many seconds it did.

        The seconds are those of the records, which their workers wrote on them: how late they are read here is ours.
        """
        wanted, began_ms = set(partitions), clock.now_ms()
        before = len(await self.out.all())
        first_ms: dict[int, int] = {}

        async def came() -> bool:
            for record in (await self.out.all())[before:]:
                first_ms.setdefault(record.partition(), record.timestamp()[1])
            return wanted <= first_ms.keys()

        await until(came, seconds, self.words)
        return max(0.0, *(first_ms[place] - began_ms for place in wanted)) / 1000

    async def verdict(self, seconds: float = PATIENCE_S) -> dict[str, int]:
        """Stop the feed, wait for the last event and return how many are lost, repeated and wrongly counted."""
        sent = await self.feed.stop()

        async def all_out() -> bool:
            return len({record.value() for record in await self.out.all()}) >= sent

        await until(all_out, seconds, lambda: f"{sent} events are out; {self.words()}")
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            await until(lambda process=process: process.poll() is not None, what=self.words)  # type: ignore[misc]
        seen = Counter(record.value() for record in await self.out.all())
        rows = {record.key(): int(record.value() or b"-1") for record in await self.counts.all()}
        wanted = Counter(b"k%04d" % (number % KEYS) for number in range(sent))
        wrong = sum(1 for key, count in wanted.items() if rows.get(key) != count)
        return {"sent": sent, "lost": sent - len(seen), "repeated": seen.total() - len(seen), "wrong_counters": wrong}


def exact(verdict: dict[str, int], least: int) -> bool:
    """Return whether nothing is lost, repeated or wrongly counted, of at least so many."""
    return verdict["sent"] >= least and not (verdict["lost"] or verdict["repeated"] or verdict["wrong_counters"])
