"""One kill at one point under load, and what the ledger says of it afterwards."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from schemas import Event
from streams import clock
from streams.runtime.record import ConsumedRecord
from streams.worker.events.table_folds import store_name
from tests.apps.pipeline.events import Counted
from tests.faults.rig.pipeline import Pipeline, Worker
from tests.faults.rig.waiting import until

CHUNK = 20  # runs submitted at once: intake sees them as a batch or two
STEPS = 2
NAMES = 16
FLOOR = 200  # runs that must have been acknowledged, so that no kill counts that nothing met
LOUD = 3  # a worker's status when it ends by itself, with a message
PATIENCE_S = 120  # several lanes of kills share the machine

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
    restarts: int = 0  # of workers that ended by themselves, as when the broker does not answer for long
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
        assert self.worst <= self.kills + self.restarts, self


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
    """Kills in one pipeline, one after the other: who has taken over from a victim is the next one.

    It supervises as a service manager does: a worker that ends by itself, loudly, is started again. That is counted,
    since each such end may repeat the effects that were under way, as a kill may.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        """Start nothing yet."""
        self._pipeline = pipeline
        self._alive: Worker | None = None
        self._slot = "a"

    async def kill(self, point: Point, seed: int, runs: int = FLOOR) -> Outcome:
        """Load the worker, kill it at `point`, let a successor finish, and judge."""
        random = Random(f"{seed}/{point.name}")
        outcome = Outcome(point.name, seed, random.randint(1, point.most))
        load = Load(self._pipeline, random)
        before = self._pipeline.effects()
        victim, self._alive = await self._killed(point, outcome, load, runs)
        assert victim.process.returncode == -9, victim.words()
        outcome.kills = 2 if point.how == "restore" else 1
        began = clock.monotonic()
        await self._ready(outcome)
        outcome.recovery_s = clock.monotonic() - began
        await self._until(lambda: _over(self._pipeline, load), outcome)
        await _judge(self._pipeline, load, outcome, before)
        return outcome

    async def end(self) -> None:
        """Let the last worker leave; AssertionError unless it goes in peace."""
        if self._alive is not None:
            assert await self._alive.stop() == 0, self._alive.words()
            self._alive = None

    async def _ready(self, outcome: Outcome) -> Worker:
        """Return the worker once it is ready, the first one of the chain if there is none."""

        async def ready() -> bool:
            return self._alive is not None and not self._alive.ended and await self._alive.is_ready()

        self._alive = self._alive or self._pipeline.start(self._slot)
        await self._until(ready, outcome)
        return self._alive

    async def _until(self, condition: Callable[[], Awaitable[bool]], outcome: Outcome) -> None:
        async def supervised() -> bool:
            if self._alive is not None and self._alive.process.poll() == LOUD:
                self._alive = self._pipeline.start(self._slot)
                outcome.restarts += 1
            return await condition()

        await until(supervised, PATIENCE_S, lambda: [one.words() for one in self._pipeline.workers[-3:]])

    async def _killed(self, point: Point, outcome: Outcome, load: Load, runs: int) -> tuple[Worker, Worker]:
        """Bring a worker to its death; return it and who takes over."""
        while True:
            doing = self._at_work if point.how == "load" else self._meanwhile
            victim, other = await doing(point, outcome, load, runs)
            if victim.process.returncode != LOUD:
                return victim, other or self._pipeline.start(self._slot)
            outcome.restarts += 1
            self._alive = other

    async def _at_work(self, point: Point, outcome: Outcome, load: Load, runs: int) -> tuple[Worker, Worker | None]:
        """Have it die in the middle of its work."""
        victim = await self._ready(outcome)
        await victim.arm(point.stage, outcome.number)
        await load.give(runs, lambda: not victim.ended)
        await _ended(victim, point)
        return victim, None

    async def _meanwhile(self, point: Point, outcome: Outcome, load: Load, runs: int) -> tuple[Worker, Worker | None]:
        """Have it die while something else than work goes on: its end, its begin, or another one's begin."""
        first = victim = await self._ready(outcome)
        if point.how != "restore":
            await first.arm(point.stage, outcome.number)
        await load.give(runs // 2, lambda: not first.ended)
        other: Worker | None = None
        given = len(load.runs)
        giving = asyncio.ensure_future(load.give(runs // 2, lambda: not first.ended))
        await until(lambda: len(load.runs) > given, PATIENCE_S)
        if point.how == "restore":
            first.kill()
            victim = self._pipeline.start(self._slot, point.stage, outcome.number)
        elif point.how == "rebalance":
            self._slot = "b" if self._slot == "a" else "a"
            other = self._pipeline.start(self._slot)
        else:
            first.process.terminate()
        await _ended(victim, point)
        await giving
        return victim, other


async def _ended(victim: Worker, point: Point) -> None:
    await until(lambda: victim.ended, PATIENCE_S, lambda: f"{point.stage} comes: {victim.words()}")


async def _over(pipeline: Pipeline, load: Load) -> bool:
    """Return whether each run has ended, each event is in its row, and its echo is, too."""
    return len(await pipeline.endings(load.runs)) == len(load.runs) and await _folded(pipeline, load)


async def _folded(pipeline: Pipeline, load: Load) -> bool:
    """Return whether each event of the load is in its row and its echo is, too."""
    rows = await table_rows(pipeline, "echoes")
    return all(rows.get(name, (0, 0))[0] >= count for name, count in load.wanted.items())


async def table_rows(pipeline: Pipeline, name: str) -> dict[str, tuple[int, int]]:
    """Return a table as its changelog has it: events and total by key."""
    table = pipeline.catalog.tables[name]
    assert store_name(table)

    def row_of(record: ConsumedRecord) -> Row | None:
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
