"""Queries while workers join, leave and are killed: no wrong value ever, and nothing but 503 within its time.

And streams: whoever is cut goes on where it was.
"""

from __future__ import annotations

import asyncio
from functools import partial
from random import Random

import pytest

from schemas.attributes import new_id
from tests.faults.rig.cut import CutReader, Told
from tests.faults.rig.gateway import Gateway
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.queries import Traffic, late
from tests.faults.rig.report import Tell
from tests.faults.rig.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

CUTS = [pytest.param(200, 20, id="short"), pytest.param(2_000, 50, id="long", marks=pytest.mark.faults_long)]
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
            await until(lambda: model.statuses[200] >= goal, what=lambda: f"{model.statuses}; {first.words()}")

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
        late_ones = late((await gateway.http.get("/metrics")).text)
        for name in NAMES:
            await until(partial(told, traffic, gateway, name), what=f"{name} is told")
            assert model.keys[name].seen == model.keys[name].acknowledged == model.keys[name].sent, name
        tell(reads=sum(model.statuses.values()), refused=model.statuses[503], wrong=len(model.wrong), slowest_s=slowest)
        assert model.wrong == []
        assert set(model.statuses) <= {200, 404, 503}
        assert late_ones == 0, f"the slowest one came after {slowest:.1f} s here"


async def told(traffic: Traffic, gateway: Gateway, name: str) -> bool:
    """Ask for a row as it must be by now; say whether there was an answer: the partitions of a killed worker move."""
    return await traffic.ask(gateway.asker, f"/tables/counts/{name}", name, own=True)


async def test_who_has_written_reads_what_was_written(pipeline: Pipeline, seed: int, tell: Tell) -> None:
    """Written and read with the offset of the acknowledgement, a thousand times: never stale."""
    await pipeline.running("c")
    async with Gateway(pipeline) as gateway:
        traffic = Traffic(gateway.asker, NAMES, seed)
        traffic.model.keys = {f"own-{name}": key for name, key in traffic.model.keys.items()}

        async def again(name: str) -> None:
            for _ in range(84):
                await traffic.count(name)
                await until(partial(told, traffic, gateway, name), what=f"{name} is told")

        async with asyncio.TaskGroup() as group:
            for name in traffic.model.keys:
                group.create_task(again(name))
        tell(reads=traffic.model.statuses[200], wrong=len(traffic.model.wrong))
        assert traffic.model.wrong == []
        assert traffic.model.statuses[200] == 84 * len(NAMES)
        assert set(traffic.model.statuses) <= {200, 503}, "what takes too long is to be asked again, and is no answer"


@pytest.mark.parametrize(("events", "cuts"), CUTS)
async def test_a_reader_of_a_run_that_is_cut_gets_every_event_once_in_order(
    pipeline: Pipeline, seed: int, tell: Tell, events: int, cuts: int
) -> None:
    if all(worker.ended for worker in pipeline.workers):
        await pipeline.running("c")
    async with Gateway(pipeline) as gateway:
        run_id = await pipeline.submit("work", pipeline.task(steps=events))
        reader = CutReader(f"{gateway.http.base_url}/runs/{run_id}/events", Random(seed))
        await reader.read(cuts, events, lambda told: bool(told) and told[-1].name == "done")
        entries = (await gateway.http.get(f"/runs/{run_id}/history")).json()["entries"]
    told = [one for one in reader.told if one.id]
    tell(events=len(told), cuts=reader.connections - 1)
    assert reader.connections > cuts
    assert len(entries) >= events
    assert [one.data["seq"] for one in told] == [int(one.id) for one in told] == [entry["seq"] for entry in entries]


@pytest.mark.parametrize(("events", "cuts"), CUTS)
async def test_a_reader_of_a_topic_that_is_cut_gets_every_event_once_in_order(
    pipeline: Pipeline, seed: int, tell: Tell, events: int, cuts: int
) -> None:
    scope = f"cut-{new_id()}"
    async with Gateway(pipeline) as gateway:
        reader = CutReader(f"{gateway.http.base_url}/topics/events/events?from=latest", Random(seed))
        await reader.read(0, 0, lambda _: bool(reader.last))  # where the topic ends now
        async with asyncio.TaskGroup() as group:
            group.create_task(reader.read(cuts, events, lambda told: len(of(told, scope)) == events))
            for number in range(events):
                data = {"name": f"{scope}-{number}", "then": "nothing"}
                answer = await gateway.asker.post("/events", {"type": "probe.counted", "data": data})
                assert answer.status == 202, answer.body
    told = of(reader.told, scope)
    tell(events=len(told), cuts=reader.connections - 1)
    assert reader.connections > cuts
    assert {one.data["data"]["name"] for one in told} == {f"{scope}-{number}" for number in range(events)}
    places = [(one.data["partition"], one.data["offset"]) for one in reader.told]
    assert len(set(places)) == len(places)
    for partition in range(pipeline.settings.partitions):
        offsets = [offset for number, offset in places if number == partition]
        assert offsets == sorted(offsets)


def of(told: list[Told], scope: str) -> list[Told]:
    """Return the events of one test."""
    return [one for one in told if str((one.data.get("data") or {}).get("name", "")).startswith(scope)]
