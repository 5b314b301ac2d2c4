"""Handlers that sleep or burn the processor for longer than a group session: nothing moves, nothing runs twice."""

from __future__ import annotations

import pytest

from streams import clock
from tests.apps.pipeline.events import HoldAsked
from tests.faults.rig.kills import table_rows
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.report import Tell
from tests.faults.rig.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT_S, LONG_S = 8.0, 90.0  # the session is 6 s, the longest that a revocation may take 60 s


async def goes_on(pipeline: Pipeline, how: str, seconds: float, tell: Tell) -> None:
    """Hold a worker's handlers for `seconds` and see that it serves others meanwhile and keeps its partitions."""
    worker = await pipeline.running("a")
    before = pipeline.effects()
    began = clock.monotonic()
    slow = [await pipeline.submit("slow", pipeline.task(steps=1, seconds=seconds, how=how)) for _ in range(2)]
    await until(lambda: (pipeline.effects() - before).total() == len(slow), what=worker.words)
    await pipeline.say(HoldAsked(name=slow[0], how=how, seconds=seconds))
    worst = 0.0
    while clock.monotonic() - began < seconds:
        asked = clock.monotonic()
        await pipeline.ended(await pipeline.submit_many(5, steps=1))
        worst = max(worst, clock.monotonic() - asked)
    endings = await pipeline.ended(slow)
    assert [[one.event_type for one in found] for found in endings.values()] == [["run.succeeded"]] * len(slow)

    async def echoed() -> bool:
        return (await table_rows(pipeline, "echoes")).get(slow[0]) == (1, 1)

    await until(echoed, what=worker.words)
    seen = pipeline.effects() - before
    assert set(seen.values()) == {1}, "an effect ran twice: its partition has moved"
    tell(held_s=seconds, slowest_of_others_s=worst)
    assert worst < 15
    assert await worker.stop() == 0, worker.words()


@pytest.mark.parametrize("how", ["sleep", "block", "burn"])
async def test_a_handler_that_takes_longer_than_the_session(pipeline: Pipeline, how: str, tell: Tell) -> None:
    await goes_on(pipeline, how, SHORT_S, tell)


@pytest.mark.faults_long
@pytest.mark.parametrize("how", ["sleep", "block", "burn"])
async def test_a_handler_that_takes_a_minute_and_a_half(pipeline: Pipeline, how: str, tell: Tell) -> None:
    await goes_on(pipeline, how, LONG_S, tell)


async def hogged(pipeline: Pipeline, seconds: float, tell: Tell) -> None:
    """Burn the processor in the event loop itself: nothing else goes on, but the group is not left, and it is said."""
    worker = await pipeline.running("a")
    before = pipeline.effects()
    began = clock.monotonic()
    slow = await pipeline.submit("slow", pipeline.task(steps=1, seconds=seconds, how="hog"))
    await until(lambda: (pipeline.effects() - before).total() == 1, what=worker.words)
    others = await pipeline.submit_many(5, steps=1)
    endings = await pipeline.ended([slow, *others], seconds + 30)
    assert {(len(found), found[0].event_type) for found in endings.values()} == {(1, "run.succeeded")}
    assert set((pipeline.effects() - before).values()) == {1}, "an effect ran twice: its partition has moved"
    said = worker.log.read_text("utf-8", "replace")
    assert "the event loop is blocked for" in said
    assert "by hold (" in said, said[-3000:]  # the user's own function, with file and line
    assert "drains" not in said
    tell(held_s=clock.monotonic() - began)
    assert await worker.stop() == 0, worker.words()


@pytest.mark.faults_long
@pytest.mark.parametrize("seconds", [SHORT_S, LONG_S])
async def test_a_handler_that_hogs_the_event_loop(pipeline: Pipeline, seconds: float, tell: Tell) -> None:
    await hogged(pipeline, seconds, tell)
