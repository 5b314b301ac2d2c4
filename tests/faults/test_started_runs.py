"""Events whose reaction starts a run, while workers die in the transaction that holds both, and partitions move.

The run is taken in where its reaction was, ahead of its queue: each event still has one run, which ends once.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from streams.clock import monotonic
from streams.engine.ids import started_id
from streams.local.kafka import EmbeddedKafka
from tests.apps.pipeline.events import Counted
from tests.faults.rig.pipeline import Pipeline, Worker
from tests.faults.rig.report import Tell
from tests.faults.rig.waiting import until

STAGES = ("begun", "produced", "offsets sent", "committed", "stored", "effect begins", "before intake")
WAVE = 40  # events that are said together
PATIENCE_S = 90  # for a kill


@pytest_asyncio.fixture
async def made(kafka: EmbeddedKafka, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with Pipeline(kafka.bootstrap, tmp_path) as pipeline:
        yield pipeline


class Events:
    """Events and the runs that they must come to."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.runs: list[str] = []
        self._number = 0

    async def say(self, count: int = WAVE) -> None:
        """Say a wave of them, each under a key of its own."""
        first, self._number = self._number, self._number + count
        events = [
            Counted(name=f"n{number}#{self.pipeline.effects_folder}", then="start")
            for number in range(first, self._number)
        ]
        acks = await asyncio.gather(*map(self.pipeline.say, events))
        self.runs += [started_id(ack.id, "echo", 0) for ack in acks]

    async def trickle(self) -> None:
        """Say a few and let most of the runs so far end, so that there is never much open."""
        await self.say(WAVE // 4)
        await until(lambda: self.pipeline.effects().total() >= len(self.runs) - WAVE, 60)

    async def judge(self, kills: int) -> dict[str, float]:
        """Check that each run was submitted once, ended once, and did its step, again at most once for each kill."""
        endings = await self.pipeline.ended(self.runs, 60)
        assert {ending.event_type for found in endings.values() for ending in found} == {"run.succeeded"}
        assert {len(found) for found in endings.values()} == {1}
        queue = await self.pipeline.events(self.pipeline.names.agents("work"))
        submitted = Counter(str(vars(one.event)["run_id"]) for one in queue if one.event is not None)
        assert submitted == Counter(self.runs)
        effects = Counter(key.split("/")[0] for key in self.pipeline.effects().elements())
        assert effects.keys() == set(self.runs)
        assert max(effects.values()) <= 1 + kills
        assert await self.pipeline.letters() == []
        again = sum(1 for count in effects.values() if count > 1)
        return {"events": len(self.runs), "kills": kills, "lost": 0, "twice": 0, "effects_again": again}


async def _ended(worker: Worker, events: Events) -> None:
    """Say more until the worker has come to the stage that is its last: it may be ready before it has partitions."""
    end = monotonic() + PATIENCE_S
    while not worker.ended:
        assert monotonic() < end, worker.words()
        await events.trickle()


@pytest.mark.faults_long
async def test_each_event_has_one_run_though_workers_die_at_every_stage(made: Pipeline, tell: Tell) -> None:
    events = Events(made)
    other = await made.running("b")
    for number, stage in enumerate(STAGES, start=3):
        victim = await made.running("a", stage, number)
        await _ended(victim, events)
    last = await made.running("a")
    await events.say()
    tell(**await events.judge(len(STAGES)))
    for worker in (last, other):
        assert await worker.stop() == 0, worker.words()


@pytest.mark.faults_long
async def test_each_event_has_one_run_though_partitions_come_and_go(made: Pipeline, tell: Tell) -> None:
    """A worker joins and leaves under events; then it sleeps past its session and wakes as nobody."""
    events = Events(made)
    await made.running("a")
    moves = 0
    for _ in range(2):
        joined = made.start("b")
        while not await joined.is_ready():
            await events.trickle()
        await events.say()
        stopping = asyncio.ensure_future(joined.stop())
        while not stopping.done():
            await events.trickle()
        assert await stopping == 0, joined.words()
        moves += 2
    sleeper = await made.running("b")
    await events.say()
    sleeper.send(signal.SIGSTOP)
    for _ in range(5):
        await events.say()
    await made.ended(events.runs, 90)
    sleeper.send(signal.SIGCONT)
    await events.say()
    tell(moves=moves, **await events.judge(1))
