"""A schedule's owner is stopped and wakes when another one has taken over: what it then does counts for nothing."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from streams.clock import monotonic
from streams.engine.ids import slot_id
from streams.local.kafka import EmbeddedKafka
from tests.faults.rig.pipeline import Worker
from tests.faults.rig.report import Tell
from tests.faults.rig.waiting import until
from tests.kafka.schedules.conftest import Clock
from tests.kafka.schedules.test_takeover import NAME, RUNS, SECOND, complete, grown, owner, owns, ticks

FOR_S = 300
KILL_EVERY_S = 20


@pytest_asyncio.fixture
async def clock(kafka: EmbeddedKafka, tmp_path: Path) -> AsyncIterator[Clock]:
    """Return a pipeline of the test's own."""
    async with Clock(kafka.bootstrap, tmp_path) as made:
        yield made


@pytest.mark.faults_long
async def test_an_owner_that_sleeps_and_wakes_fires_nothing_twice(clock: Clock) -> None:
    workers = list(await asyncio.gather(clock.running("a"), clock.running("b")))
    await grown(clock, 5)
    for _ in range(2):
        mine = await owner(workers)
        others = [worker for worker in workers if worker is not mine]
        mine.send(signal.SIGSTOP)

        async def taken(others: list[Worker] = others) -> bool:
            return any([await owns(worker) for worker in others])

        await until(taken, 60, lambda: [worker.words()[-800:] for worker in clock.workers])
        await grown(clock, 3)
        mine.send(signal.SIGCONT)
        await grown(clock, 5)
        if mine.ended:  # fenced: it ends with a message, and its supervisor starts it again
            workers = [*others, clock.start("a" if mine is clock.workers[0] else "b")]
    for name in (NAME, RUNS):
        await complete(clock, name)
    runs = await clock.ended([id for id, _ in await ticks(clock, RUNS)])
    assert {len(endings) for endings in runs.values()} == {1}


@pytest.mark.faults_long
async def test_every_second_for_five_minutes_with_the_owner_killed_every_20_s(clock: Clock, tell: Tell) -> None:
    """Each slot has exactly one tick, under the slot's own id, and none is missing."""
    alive = list(await asyncio.gather(clock.running("a"), clock.running("b")))
    await grown(clock, 1)
    slots = dict(zip("ab", alive, strict=True))
    begun, kills = monotonic(), 0
    while monotonic() - begun < FOR_S:
        due = begun + (kills + 1) * KILL_EVERY_S

        def over(due: float = due) -> bool:
            return monotonic() >= due

        await until(over, KILL_EVERY_S + 5)
        mine = await owner(list(slots.values()))
        mine.kill()
        kills += 1
        slot = next(name for name, worker in slots.items() if worker is mine)
        slots[slot] = clock.start(slot)
    await grown(clock, 5)
    found = await ticks(clock)
    first, last = min(slot for _, slot in found), max(slot for _, slot in found)
    wanted = {slot_id(NAME, slot) for slot in range(first, last + 1, SECOND)}
    counts = Counter(id for id, _ in found)
    once = sum(counts[id] == 1 for id in wanted)
    tell(kills=kills, slots=len(wanted), once=once, missing=len(wanted - counts.keys()), ticks=len(found))
    assert kills >= FOR_S // KILL_EVERY_S - 1
    assert len(wanted) >= FOR_S
    assert once == len(wanted) == len(found)
