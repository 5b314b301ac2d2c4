"""Queries while workers join, leave and are killed: no wrong value ever, and nothing but 503 within its time."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.rig.gateway import Gateway
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.queries import BOUND_S, Traffic
from tests.faults.rig.report import Tell
from tests.faults.rig.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = [f"name-{number}" for number in range(12)]
RATE = 60


async def test_answers_are_right_while_workers_join_leave_and_are_killed(
    pipeline: Pipeline, seed: int, tell: Tell
) -> None:
    first = await pipeline.running("a")
    async with Gateway(pipeline) as gateway:
        traffic = Traffic(gateway.asker, NAMES, seed)
        model = traffic.model

        def more(count: int) -> int:
            return model.statuses[200] + count

        async def answered(goal: int) -> None:
            await until(lambda: model.statuses[200] >= goal, 60, lambda: f"{model.statuses}; {first.words()}")

        async with asyncio.TaskGroup() as group:
            for name in NAMES:
                group.create_task(traffic.write(name))
            group.create_task(traffic.read(RATE))
            await answered(more(100))
            second = await pipeline.running("b")  # joins
            await answered(more(200))
            assert await first.stop() == 0, first.words()  # leaves
            await answered(more(200))
            first = await pipeline.running("a")
            await answered(more(100))
            second.kill()
            await answered(more(200))
            traffic.stop()
        slowest = model.slowest()
        for name in NAMES:
            await traffic.ask(gateway.asker, f"/tables/counts/{name}", name, own=True)
            assert model.keys[name].seen == model.keys[name].acknowledged, name
        tell(reads=sum(model.statuses.values()), refused=model.statuses[503], wrong=len(model.wrong), slowest_s=slowest)
        assert model.wrong == []
        assert set(model.statuses) <= {200, 404, 503}
        assert slowest < BOUND_S


async def test_who_has_written_reads_what_was_written(pipeline: Pipeline, seed: int, tell: Tell) -> None:
    """Written and read with the offset of the acknowledgement, a thousand times: never stale."""
    await pipeline.running("c")
    async with Gateway(pipeline) as gateway:
        traffic = Traffic(gateway.asker, NAMES, seed)
        traffic.model.keys = {f"own-{name}": key for name, key in traffic.model.keys.items()}

        async def again(name: str) -> None:
            for _ in range(84):
                await traffic.count(name)
                await traffic.ask(gateway.asker, f"/tables/counts/{name}", name, own=True)

        async with asyncio.TaskGroup() as group:
            for name in traffic.model.keys:
                group.create_task(again(name))
        tell(reads=traffic.model.statuses[200], wrong=len(traffic.model.wrong))
        assert traffic.model.wrong == []
        assert traffic.model.statuses == {200: 84 * len(NAMES)}
