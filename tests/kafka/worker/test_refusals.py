"""A broker that refuses records: the culprit is found and given up, its neighbours pass, and the worker goes on."""

from __future__ import annotations

import asyncio
import uuid

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.apps.pipeline.events import Counted
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import until


async def shrink(pipeline: Pipeline, topic: str, most: int) -> None:
    """Make the broker refuse records of `topic` over `most` bytes."""
    entry = ConfigEntry("max.message.bytes", str(most), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient(pipeline.settings.kafka().client())
    for future in admin.incremental_alter_configs([resource]).values():
        await asyncio.to_thread(future.result, 20)


async def test_an_event_whose_output_is_refused_is_one_dead_letter_and_its_neighbours_pass(pipeline: Pipeline) -> None:
    """The reaction's submission for `work` is over the queue's limit for one of forty events."""
    worker = await pipeline.running("a")
    await shrink(pipeline, pipeline.names.agents("work"), 1500)
    names = [f"n{uuid.uuid4().hex}#{pipeline.effects_folder}" for _ in range(40)]
    culprit = f"{names[20]}{'/.' * 1500}"
    names[20] = culprit
    await asyncio.gather(*[pipeline.say(Counted(name=name, then="start")) for name in names])

    async def all_but_one_ended() -> bool:
        return len(await pipeline.endings()) >= 39 and len(await pipeline.letters()) >= 1

    await until(all_but_one_ended, what=worker.words)
    letters = await pipeline.letters()
    assert [letter.key for letter in letters] == [culprit.encode()]
    assert len(await pipeline.endings()) == 39
    assert not worker.ended


async def test_a_run_whose_ending_is_refused_fails_and_others_end(pipeline: Pipeline) -> None:
    worker = await pipeline.running("a")
    await shrink(pipeline, pipeline.names.runs, 4000)
    large = await pipeline.submit("bulky", {"bytes": 20_000})
    others = await pipeline.submit_many(20)
    endings = await pipeline.ended([large, *others])
    assert [ending.event_type for ending in endings[large]] == ["run.failed"]
    assert all(len(endings[one]) == 1 for one in others)
    assert {endings[one][0].event_type for one in others} == {"run.succeeded"}
    assert not worker.ended
