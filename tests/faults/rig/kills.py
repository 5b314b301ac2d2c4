"""One kill at one point under load, and what the ledger says of it afterwards."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from schemas import Event
from streams import clock
from streams.worker.folds import store_name
from streams.worker.record import Record
from tests.apps.pipeline.events import Counted
from tests.faults.rig.pipeline import Pipeline, Worker
from tests.faults.rig.waiting import until

CHUNK = 20  # runs submitted at once: intake sees them as a batch or two
STEPS = 2
NAMES = 16
FLOOR = 200  # runs that must have been acknowledged, so that no kill counts that nothing met
PATIENCE_S = 90  # several lanes of kills share the machine

Row = tuple[str, tuple[int, int]]  # key, number of events and their total


@dataclass(frozen=True, slots=True)
class Point:
    """Where a worker is killed: at a stage's n-th time, n between 1 and `most`."""

    name: str
    stage: str
    most: int
    how: str = "load"  # load: in normal work; restore, rebalance, shutdown: while that goes on


POINTS = (
    Point("before intake", "before intake", 6),
    Point("after intake, before its commit", "taken in", 6),
    Point("after a side effect, before its entry", "effect done", 250),
    Point("after the entry, before the next step", "effect begins", 250),
    Point("between begin and produce", "begun", 12),
    Point("between produce and send of offsets", "produced", 12),
    Point("between send of offsets and commit", "offsets sent", 12),
    Point("after the commit, before the store", "committed", 12),
    Point("after the store", "stored", 12),
    Point("at the begin of recovery", "restoring", 1, "restore"),
    Point("at the end of recovery", "restored", 1, "restore"),
    Point("during a rebalance", "draining", 1, "rebalance"),
    Point("during shutdown", "leaving", 1, "shutdown"),
    Point("during the drain of a shutdown", "draining", 1, "shutdown"),
)


@dataclass(slots=True)
class Outcome:
    """What one kill came to."""

    point: str
    seed: int
    number: int
    runs: int = 0
    events: int = 0
    kills: int = 0
    lost: int = 0
    duplicates: int = 0
    repeated: int = 0  # effects seen more than once
    worst: int = 0  # the most repeats of one effect
    wrong_rows: int = 0
    recovery_s: float = 0.0
    notes: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raise AssertionError unless nothing is lost or duplicated and effects are repeated once a kill at most."""
        assert self.runs >= FLOOR, f"only {self.runs} runs were acknowledged: {self}"
        assert (self.lost, self.duplicates, self.wrong_rows) == (0, 0, 0), self
        assert self.worst <= self.kills, self


class Load:
    """Submits runs and events and remembers what was acknowledged."""

    def __init__(self, pipeline: Pipeline, random: Random) -> None:
        """Draw names from `random`."""
        self._pipeline = pipeline
        self._random = random
        self._mark = uuid.uuid4().hex[:10]  # a seed repeats the moment, never the names
        self.runs: list[str] = []
        self.wanted: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()

    async def give(self, runs: int, alive: Callable[[], bool]) -> None:
        """Submit in chunks, each once the one before has been noticed or nobody is alive to notice."""
        for _ in range(runs // CHUNK):
            seen = self._pipeline.effects().total()
            await asyncio.gather(self._submit(), self._say())
            await until(lambda seen=seen: self._pipeline.effects().total() > seen or not alive(), PATIENCE_S)  # type: ignore[misc]

    async def _submit(self) -> None:
        self.runs += await self._pipeline.submit_many(CHUNK, steps=STEPS)

    async def _say(self) -> None:
        for _ in range(CHUNK // 2):
            name, amount = f"{self._mark}-{self._random.randrange(NAMES)}", self._random.randrange(100)
            await self._pipeline.say(Counted(name=name, amount=amount))
            self.wanted[name] += 1
            self.totals[name] += amount


class Chain:
    """Kills in one pipeline, one after the other: who has taken over from a victim is the next one."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Start nothing yet."""
        self._pipeline = pipeline
        self._alive: Worker | None = None
        self._slot = "a"

    async def kill(self, point: Point, seed: int, runs: int = 200) -> Outcome:
        """Load the worker, kill it at `point`, let a successor finish, and judge."""
        random = Random(f"{seed}/{point.name}")
        outcome = Outcome(point.name, seed, random.randint(1, point.most))
        load = Load(self._pipeline, random)
        before = self._pipeline.effects()
        victim, other = await self._killed(point, outcome.number, load, runs)
        outcome.kills = 2 if point.how == "restore" else 1
        began = clock.monotonic()
        self._alive = worker = other or self._pipeline.start(self._slot)
        await worker.ready()
        outcome.recovery_s = clock.monotonic() - began
        await self._pipeline.ended(load.runs, PATIENCE_S)
        await until(lambda: _folded(self._pipeline, load), PATIENCE_S, lambda: f"all is folded: {worker.words()}")
        assert victim.process.returncode == -9, victim.words()
        await _judge(self._pipeline, load, outcome, before)
        return outcome

    async def end(self) -> None:
        """Let the last worker leave; AssertionError unless it goes in peace."""
        if self._alive is not None:
            assert await self._alive.stop() == 0, self._alive.words()
            self._alive = None

    async def _first(self) -> Worker:
        if self._alive is None:
            self._alive = await self._pipeline.running(self._slot)
        return self._alive

    async def _killed(self, point: Point, number: int, load: Load, runs: int) -> tuple[Worker, Worker | None]:
        """Bring a worker to its death; return it, and the other one where there is one."""
        first = victim = await self._first()
        if point.how != "restore":
            await first.arm(point.stage, number)
        if point.how == "load":
            await load.give(runs, lambda: not victim.ended)
            await until(lambda: victim.ended, PATIENCE_S, lambda: f"{point.stage} no. {number} comes: {victim.words()}")
            return victim, None
        await load.give(runs // 2, lambda: not first.ended)
        other: Worker | None = None
        giving = asyncio.ensure_future(load.give(runs // 2, lambda: not first.ended))
        await until(lambda: len(load.runs) > runs // 2, PATIENCE_S)
        if point.how == "restore":
            first.kill()
            victim = self._pipeline.start(self._slot, point.stage, number)
        elif point.how == "rebalance":
            self._slot = "b" if self._slot == "a" else "a"
            other = self._pipeline.start(self._slot)
        else:
            first.process.terminate()
        await until(lambda: victim.ended, PATIENCE_S, lambda: f"{point.stage} is reached: {victim.words()}")
        await giving
        return victim, other


async def _folded(pipeline: Pipeline, load: Load) -> bool:
    """Return whether each event of the load is in its row and its echo is, too."""
    rows = await table_rows(pipeline, "echoes")
    return all(rows.get(name, (0, 0))[0] >= count for name, count in load.wanted.items())


async def table_rows(pipeline: Pipeline, name: str) -> dict[str, tuple[int, int]]:
    """Return a table as its changelog has it: events and total by key."""
    table = pipeline.catalog.tables[name]
    assert store_name(table)

    def row_of(record: Record) -> Row | None:
        value = record.value()
        if value is None:
            return None
        row = pipeline.codec.decode(value, table.row)
        return (record.key() or b"").decode(), (row.events, row.total)

    changelog = pipeline.names.table(table.name, table.version, table.pool)
    return dict(await pipeline.made_of(changelog, row_of))


async def _judge(pipeline: Pipeline, load: Load, outcome: Outcome, before: Counter[str]) -> None:
    endings = await pipeline.endings(load.runs)
    outcome.runs, outcome.events = len(load.runs), load.wanted.total()
    outcome.lost = len(set(load.runs) - set(endings))
    outcome.duplicates = sum(len(found) - 1 for found in endings.values())
    seen = pipeline.effects() - before
    outcome.repeated = sum(1 for count in seen.values() if count > 1)
    outcome.worst = max(seen.values(), default=1) - 1
    mine = set(load.runs)
    steps = Counter(key.split("/")[0] for key in seen)
    outcome.lost += sum(1 for run_id in mine if steps[run_id] != STEPS)
    for name in ("counts", "echoes"):
        rows = await table_rows(pipeline, name)
        outcome.wrong_rows += sum(1 for key, count in load.wanted.items() if rows.get(key) != (count, load.totals[key]))
    said: Counter[str] = Counter()
    for arrived in await pipeline.events(pipeline.names.events):
        event: Event | None = arrived.event
        if event is not None and event.event_type == "probe.echoed" and event.key_text() in load.wanted:
            said[arrived.attributes.id] += 1
    outcome.lost += load.wanted.total() - len(said)
    outcome.duplicates += said.total() - len(said)
