"""A pipeline on a broker: its topics, its workers as processes, what was written and what came of it."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import SecretStr

from schemas import Event
from schemas.attributes import new_id
from schemas.errors import SchemaError
from schemas.run import RunSubmitted
from streams import clock
from streams.app import Catalog, discover
from streams.journal.record_writer import DecodedRecord, RecordWriter
from streams.local.declare import declare_topics
from streams.local.ports import free_ports
from streams.query.cluster import authorization
from streams.query.codec import codec_of
from streams.runtime.record import ConsumedRecord
from streams.settings import Settings, child_environment
from tests.faults.rig.forked import ForkedProcess, fork
from tests.faults.rig.launcher import FUSE, launch
from tests.faults.rig.log import Log
from tests.faults.rig.seen import Seen
from tests.faults.rig.waiting import PATIENCE_S, until
from topics.errors import NotAcknowledged
from topics.names import Names
from topics.partition import partition_of
from topics.producer import Ack, EventProducer

T = TypeVar("T")

APP = "tests.apps.pipeline"
ROOT = Path(__file__).parents[3]
TRIES = 3
CLUSTER_SECRET = "the-cluster-secret-of-the-tests"
CLUSTER = {"authorization": authorization(CLUSTER_SECRET)}
ENDINGS = ("run.succeeded", "run.failed", "run.cancelled")


class Worker:
    """A worker's process in its slot, on a port of its own."""

    def __init__(self, process: ForkedProcess, port: int, log: Path, fuse: Path) -> None:
        self.process = process
        self.log = log
        self._fuse = fuse
        self.url = f"http://127.0.0.1:{port}"
        self.owner = httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_S, headers=CLUSTER)

    @property
    def ended(self) -> bool:
        """Return whether the process is gone."""
        return self.process.poll() is not None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this worker alone."""
        self.process.send_signal(number)

    async def arm(self, stage: str, number: int, name: str = "SIGKILL") -> None:
        """Have it send itself a signal at the n-th time from now that it reaches `stage`; it must be ready."""
        self._fuse.write_text(f"{stage}\n{number}\n{name}\n", "utf-8")
        self.process.send_signal(signal.SIGUSR2)
        await until(lambda: not self._fuse.exists(), what=self.words)

    def kill(self) -> None:
        """Kill -9 and wait."""
        self.process.kill()
        self.process.wait()

    async def stop(self, seconds: float = PATIENCE_S) -> int:
        """Ask it to leave and return its status; AssertionError when it does not end in time."""
        self.process.terminate()
        await until(lambda: self.ended, seconds, lambda: f"the worker ends: {self.words()}")
        return self.process.wait()

    async def ready(self, seconds: float = PATIENCE_S) -> None:
        """Wait until it says that it is ready."""
        await until(self.is_ready, seconds, lambda: f"the worker is ready: {self.words()}")

    async def is_ready(self) -> bool:
        """Return whether it says that it is ready; AssertionError when it has ended."""
        assert not self.ended, self.words()
        try:
            return (await self.owner.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    def words(self) -> str:
        """Return the end of what it said."""
        return self.log.read_text("utf-8", errors="replace")[-3000:]


class Pipeline:
    """One prefix on one broker."""

    def __init__(self, bootstrap: str, folder: Path, *, partitions: int = 4, app: str | None = None) -> None:
        """Keep everything local under `folder`; nothing is written before `declare`."""
        self.folder = folder
        self.effects_folder = folder / "effects"
        self.effects_folder.mkdir(parents=True, exist_ok=True)
        self.settings = Settings(
            kafka_bootstrap_servers=bootstrap,
            topic_prefix=f"t{uuid.uuid4().hex[:10]}",
            partitions=partitions,
            state_dir=folder / "state",
            cluster_secret=SecretStr(CLUSTER_SECRET),
            apps=(app or APP,),
        )
        self.kafka = self.settings.kafka()
        self.names = Names(self.settings.topic_prefix)
        self.catalog: Catalog = discover(self.settings.apps)
        self.codec = codec_of(self.settings, self.catalog)
        self.writer = RecordWriter(self.names, self.codec, self.catalog.events, "default")
        patience_ms = int(PATIENCE_S * 1000)
        self.producer = EventProducer(
            self.kafka, self.codec, "/tests", now_ms=clock.now_ms, message_timeout_ms=patience_ms
        )
        self.workers: list[Worker] = []
        self.environment: dict[str, str] = {}  # of workers, besides their settings
        self._logs: dict[str, Log] = {}
        self._made: dict[str, Seen[Any]] = {}
        self._effects: Counter[str] = Counter()
        self._effects_read = 0  # bytes

    async def __aenter__(self) -> Self:
        """Declare the topics."""
        await asyncio.to_thread(declare_topics, self.settings)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what still runs."""
        for worker in self.workers:
            worker.kill()
            await worker.owner.aclose()
        for log in self._logs.values():
            await asyncio.to_thread(log.close)
        await self.producer.close()

    # -- processes

    def start(self, slot: str | None = "a", *fuse: str | int, path: Path | None = None) -> Worker:
        """Start a worker in `slot`, None: the next free one.

        `fuse` is a stage, how often it may be reached and a signal's name.
        `path` is a folder with code of its own, which comes before what else is importable.
        """
        port = free_ports([0])[0]
        log = self.folder / f"worker-{slot}-{len(self.workers)}.log"
        fuse_file = self.folder / f"fuse-{len(self.workers)}"
        environment = {
            **child_environment(self.settings, worker_port=port, **({} if slot is None else {"slot": slot})),
            **self.environment,
            FUSE: str(fuse_file),
            **({} if path is None else {"PYTHONPATH": str(path)}),
        }
        process = fork(launch, [str(one) for one in fuse], output=log, environment=environment, folder=ROOT)
        worker = Worker(process, port, log, fuse_file)
        self.workers.append(worker)
        return worker

    async def running(self, slot: str | None = "a", *fuse: str | int) -> Worker:
        """Start a worker and wait until it is ready and has its share of the partitions."""
        worker = self.start(slot, *fuse)
        await worker.ready()
        await self.settled()
        return worker

    async def settled(self) -> None:
        """Wait until the groups rest: whoever lives owns partitions, and each partition of a pool has one owner.

        A worker that is ready may have none yet: it counts as a spare while its group takes long.
        """
        beats: dict[int, dict[str, Any]] = {}

        async def at_rest() -> bool:
            alive = {worker.process.pid for worker in self.workers if not worker.ended}
            told = [vars(one.event) for one in await self.events(self.names.workers) if one.event is not None]
            beats.clear()
            beats.update({beat["pid"]: beat for beat in told if beat["pid"] in alive})
            pools: dict[str, list[int]] = {}
            for beat in beats.values():
                pools.setdefault(beat["pool"], []).extend(beat["partitions"])
            return (
                beats.keys() == alive
                and all(beat["partitions"] for beat in beats.values())
                and all(sorted(owned) == list(range(self.settings.partitions)) for owned in pools.values())
            )

        await until(at_rest, what=lambda: f"the groups rest: {[(pid, b['partitions']) for pid, b in beats.items()]}")

    # -- what goes in

    def task(self, **values: Any) -> dict[str, Any]:
        """Return an input for the counting agents."""
        return {"folder": str(self.effects_folder), **values}

    async def submit(self, agent: str, given: Any, run_id: str | None = None, **fields: Any) -> str:
        """Put a submission on the agent's queue and return its id once it is acknowledged."""
        run_id = run_id or f"r{uuid.uuid4().hex[:16]}"
        await self._acknowledged(
            self.names.agents(agent), RunSubmitted(run_id=run_id, agent=agent, input=given, **fields)
        )
        return run_id

    async def _acknowledged(self, topic: str, event: Event, **how: Any) -> Ack:
        """Send until it is acknowledged, with the same id: what is there twice counts once."""
        same = {"id": new_id(), **how}
        for _ in range(TRIES):
            try:
                return await self.producer.send(topic, event, **same)
            except NotAcknowledged:
                continue
        raise AssertionError(f"{topic} takes nothing")

    async def submit_many(self, count: int, agent: str = "work", **task: Any) -> list[str]:
        """Put many on the queue at once, as many on each partition as on the others."""
        ids = [self._id_for(number % self.settings.partitions) for number in range(count)]
        return list(await asyncio.gather(*(self.submit(agent, self.task(**task), run_id) for run_id in ids)))

    def _id_for(self, place: int) -> str:
        """Return a new run id of that partition."""
        while self.partition(run_id := f"r{uuid.uuid4().hex[:16]}") != place:
            continue
        return run_id

    async def say(self, event: Event, **how: Any) -> Ack:
        """Put an event on the bus, or on `signals` if it belongs there."""
        signal_ = event.event_type in {"signal.sent", "run.cancel_requested", "run.resume_requested"}
        return await self._acknowledged(self.names.signals if signal_ else self.names.events, event, **how)

    # -- what came out

    def log(self, topic: str) -> Log:
        """Return the reader of a topic, which goes on from where it was."""
        if topic not in self._logs:
            self._logs[topic] = Log(self.kafka, topic)
        return self._logs[topic]

    async def made_of(self, topic: str, make: Callable[[ConsumedRecord], T | None]) -> list[T]:
        """Return what `make`, always the same for a topic, has made of its committed records so far."""
        if topic not in self._made:
            self._made[topic] = Seen(self.log(topic), make)
        found: list[T] = await self._made[topic].all()
        return found

    async def events(self, topic: str) -> list[DecodedRecord]:
        """Return all committed events of a topic so far."""
        return await self.made_of(topic, self._read)

    def _read(self, record: ConsumedRecord) -> DecodedRecord | None:
        try:
            return self.writer.read(record)
        except SchemaError:
            return None  # poison of ours

    async def endings(self, run_ids: Iterable[str] | None = None) -> dict[str, list[Any]]:
        """Return each run's endings, as `runs` has them."""
        wanted = None if run_ids is None else set(run_ids)
        found: dict[str, list[Any]] = {}
        for arrived in await self.events(self.names.runs):
            if arrived.attributes.type in ENDINGS and arrived.event is not None:
                run_id = str(vars(arrived.event)["run_id"])
                if wanted is None or run_id in wanted:
                    found.setdefault(run_id, []).append(arrived.event)
        return found

    async def ended(self, run_ids: Iterable[str], seconds: float = PATIENCE_S) -> dict[str, list[Any]]:
        """Wait until each run has ended at least once."""
        wanted = set(run_ids)
        found: dict[str, list[Any]] = {}

        async def all_ended() -> bool:
            nonlocal found
            found = await self.endings(wanted)
            return len(found) == len(wanted)

        def missing() -> str:
            words = [worker.words()[-1500:] for worker in self.workers if not worker.ended]
            return f"{len(wanted) - len(found)} of {len(wanted)} runs have not ended; {words}"

        await until(all_ended, seconds, missing)
        return found

    async def ended_ms(self, run_ids: Iterable[str]) -> dict[str, int]:
        """Return when each run's last ending so far was written, as its event says: milliseconds since the epoch."""
        wanted = set(run_ids)
        found: dict[str, int] = {}
        for arrived in await self.events(self.names.runs):
            if arrived.attributes.type in ENDINGS and arrived.event is not None:
                run_id = str(vars(arrived.event)["run_id"])
                if run_id in wanted:
                    found[run_id] = arrived.attributes.time
        return found

    async def letters(self) -> list[Any]:
        """Return the dead letters."""
        return [arrived.event for arrived in await self.events(self.names.dead_letters)]

    async def letters_of(self, key: bytes | None, count: int = 1) -> list[Any]:
        """Wait for so many dead letters of a record's key, and return all that there are."""
        found: list[Any] = []

        async def there() -> bool:
            found[:] = [one for one in await self.letters() if one.key == key]
            return len(found) >= count

        await until(there, what=lambda: [worker.words()[-1500:] for worker in self.workers])
        return found

    def effects(self) -> Counter[str]:
        """Return how often each idempotency key was seen outside."""
        trace = self.effects_folder / "effects"
        if trace.exists():
            with trace.open("rb") as file:
                file.seek(self._effects_read)
                new = file.read()
            new = new[: new.rfind(b"\n") + 1]
            self._effects_read += len(new)
            self._effects.update(new.decode().split())
        return Counter(self._effects)

    def partition(self, key: str) -> int:
        """Return where murmur2 puts a key."""
        return partition_of(key.encode(), self.settings.partitions)
