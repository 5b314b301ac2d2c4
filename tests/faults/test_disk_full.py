"""A state directory that takes no more bytes: the worker says so and ends, and goes on when there is room again."""

from __future__ import annotations

import resource

import pytest

from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.report import Tell
from tests.faults.rig.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOM = 64 * 1024  # bytes that a file of the worker may still grow to beyond what it has said


async def test_a_full_disk_ends_the_worker_loudly_and_nothing_is_lost(pipeline: Pipeline, tell: Tell) -> None:
    """The limit on the size of its files is to the process what a full disk is: writes fail."""
    worker = await pipeline.running("a")
    before = pipeline.effects()
    runs = await pipeline.submit_many(20)
    await pipeline.ended(runs)
    room = worker.log.stat().st_size + ROOM
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    while not worker.ended and len(runs) < 5000:
        runs += await pipeline.submit_many(50)
        most = 2 * len(runs) - 200  # so that it is loaded and not swamped
        await until(lambda most=most: worker.ended or (pipeline.effects() - before).total() > most)  # type: ignore[misc]
    await until(lambda: worker.ended, what=worker.words)
    assert worker.process.returncode not in (0, -9), worker.words()
    assert "space" in worker.words() or "File too large" in worker.words(), worker.words()
    at_its_end = len(await pipeline.endings(runs))
    assert at_its_end < len(runs)
    follower = await pipeline.running("a")
    endings = await pipeline.ended(runs)
    assert {len(found) for found in endings.values()} == {1}
    seen = pipeline.effects() - before
    assert sum(1 for key in seen) == 2 * len(runs)
    assert max(seen.values()) <= 2, "an effect is repeated once at most"
    tell(runs=len(runs), ended_before=at_its_end, effects_repeated=sum(1 for count in seen.values() if count > 1))
    assert await follower.stop() == 0, follower.words()
