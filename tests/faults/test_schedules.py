"""A schedule's owner is stopped and wakes when another one has taken over: what it then does counts for nothing."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from streams.local.kafka import EmbeddedKafka
from tests.faults.rig.pipeline import Worker
from tests.faults.rig.waiting import until
from tests.kafka.schedules.conftest import Clock
from tests.kafka.schedules.test_takeover import NAME, RUNS, complete, grown, owner, owns, ticks


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
