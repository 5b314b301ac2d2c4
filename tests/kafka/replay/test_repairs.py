"""Repairs in place on a real broker: what is there is left; what differs or lacks is written once, however often."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from streams import StartRun, on
from streams.define.reactions import Reaction
from streams.local.kafka import EmbeddedKafka
from streams.replay.log import ReplayLog
from streams.replay.position import Position
from streams.replay.repair import Repair
from streams.replay.report import ReplayReport
from streams.replay.topic_replay import Replay, ReplayPlan
from tests.apps.pipeline.agents import Task, work
from tests.apps.pipeline.events import Counted, Echoed
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import until
from topics.admin import topic_names

pytestmark = pytest.mark.asyncio(loop_scope="module")  # the producer belongs to the loop of the pipeline

EVENTS = 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pipeline(kafka: EmbeddedKafka, tmp_path_factory: Any) -> AsyncIterator[Pipeline]:
    """Return a pipeline with a worker that has handled twenty events, one of which it gave up."""
    async with Pipeline(kafka.bootstrap, tmp_path_factory.mktemp("repairs")) as made:
        await made.running()
        for number in range(EVENTS):
            await made.say(Counted(name=f"n{number % 5}", amount=number), id=f"given-{number}")
        await made.say(Counted(name="given-up", then="fail"), id="given-up")
        await until(lambda: handled(made), what=made.workers[0].words)
        yield made


async def handled(pipeline: Pipeline) -> bool:
    letters = await pipeline.events(pipeline.names.dead_letters)
    if not letters or len(await echoed(pipeline)) != EVENTS:
        return False
    answer = await pipeline.workers[0].owner.get("/owner/tables/echoes")
    return sum(int(one["value"]["events"]) for one in answer.json()["rows"]) == EVENTS


async def echoed(pipeline: Pipeline) -> dict[str, Echoed]:
    """Return what was echoed, by id; no id is there twice."""
    found = [one for one in await pipeline.events(pipeline.names.events) if isinstance(one.event, Echoed)]
    assert max(Counter(one.attributes.id for one in found).values(), default=0) <= 1
    return {one.attributes.id: one.event for one in found if isinstance(one.event, Echoed)}


async def row(pipeline: Pipeline, name: str) -> dict[str, int]:
    """Return the row of the table that counts echoes."""
    answer = await pipeline.workers[0].owner.get(f"/owner/tables/echoes/{name}")
    return dict(answer.json()["value"])


async def repair(
    pipeline: Pipeline, into: str, *reactions: Reaction, position: bool = False, **plan: Any
) -> ReplayReport:
    """Repair the bus with reactions in the place of those that ran."""
    known = {**pipeline.catalog.reactions, **{one.name: one for one in reactions}}
    log = ReplayLog.of(pipeline.settings, replace(pipeline.catalog, reactions=known))
    asked = ReplayPlan("events", "earliest", "latest", in_place=True, **plan)
    sink = Repair(log, into, frozenset({"events", "agents"}), dry=asked.dry_run)
    place = Position(log, into, asked.subject) if position else None
    return await Replay(log, asked, sink, position=place).run()


def named(name: str, fn: Callable[[Counted], Any]) -> Reaction:
    fn.__name__ = name
    return on(Counted)(fn)


async def test_what_is_there_is_not_written_again(pipeline: Pipeline) -> None:
    before = await echoed(pipeline)
    report = await repair(pipeline, "same")
    assert (dict(report.written), report.left_out["unchanged outputs"]) == ({}, EVENTS)
    assert await echoed(pipeline) == before


async def test_an_open_dead_letter_is_left_to_its_redrive(pipeline: Pipeline) -> None:
    """Both would write the ids that the first attempt would have given: neither could see the other's."""
    mended = named("echo", lambda event: Echoed(name=event.name, amount=event.amount))
    report = await repair(pipeline, "letters", mended)
    assert report.left_out["open dead letters: redrive or discard them"] == 1
    assert (dict(report.written), report.misses) == ({}, [])


async def test_what_differs_is_written_under_its_own_id_and_once(pipeline: Pipeline) -> None:
    before = await row(pipeline, "n1")

    def changed(event: Counted) -> Echoed:
        return Echoed(name=event.name, amount=event.amount + 100 * (event.amount == 6))

    would = await repair(pipeline, "differs", named("echo", changed), dry_run=True)
    assert (dict(would.written), len(await echoed(pipeline))) == ({"events": 1}, EVENTS)
    for _ in range(3):
        report = await repair(pipeline, "differs", named("echo", changed), position=True)
    assert dict(report.written) == {}
    there = await echoed(pipeline)
    other = [id for id in there if "~" in id]
    assert len(other) == 1
    assert (other[0].partition("~")[0], there[other[0]].amount) == ("given-6/echo/0", 106)
    await until(lambda: folded(pipeline, "n1", before["events"] + 1), what=pipeline.workers[0].words)
    assert await row(pipeline, "n1") == {"events": before["events"] + 1, "total": before["total"] + 106}
    assert pipeline.names.topic("differs.position") in topic_names(pipeline.kafka)


async def folded(pipeline: Pipeline, name: str, events: int) -> bool:
    return (await row(pipeline, name))["events"] >= events


async def test_two_who_add_the_same_at_once_add_it_once(pipeline: Pipeline) -> None:
    """Neither sees the other's records: the window in which workers know repetitions counts the second ones out."""
    before, ids = await row(pipeline, "n2"), set(await echoed(pipeline))
    added = named("added", lambda event: Echoed(name=event.name, amount=1000) if event.name == "n2" else None)
    await asyncio.gather(repair(pipeline, "left", added), repair(pipeline, "right", added))
    records = [one.attributes.id for one in await pipeline.events(pipeline.names.events)]
    new = [id for id in records if id.endswith("/added/0")]
    assert set(new) == {f"given-{number}/added/0" for number in range(2, EVENTS, 5)}
    assert ids.isdisjoint(new)
    await pipeline.say(Echoed(name="n2", amount=0), id="last")
    count = before["events"] + len(set(new)) + 1
    await until(lambda: folded(pipeline, "n2", count), what=pipeline.workers[0].words)
    assert await row(pipeline, "n2") == {"events": count, "total": before["total"] + 1000 * len(set(new))}
    third = await repair(pipeline, "third", added)
    assert dict(third.written) == {}


async def test_a_run_with_another_input_is_another_run(pipeline: Pipeline) -> None:
    folder = str(pipeline.effects_folder)

    def starts(steps: int) -> Reaction:
        def react(event: Counted) -> StartRun | None:
            return StartRun(work, Task(folder=folder, steps=steps)) if event.amount == 3 else None

        return named("starts", react)

    for steps in (1, 1, 2, 2, 1):
        await repair(pipeline, f"starts-{steps}", starts(steps))
    await until(lambda: two_ended(pipeline), what=pipeline.workers[0].words)
    assert len(await pipeline.events(pipeline.names.agents("work"))) == 2
    ids = sorted(await pipeline.endings(), key=len)
    assert ids[1].partition("~")[0] == ids[0]


async def two_ended(pipeline: Pipeline) -> bool:
    return len(await pipeline.endings()) == 2
