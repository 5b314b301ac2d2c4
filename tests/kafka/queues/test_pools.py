"""Pools: a worker serves the agents of its own pool, with a group and a journal of its own, and load is spread."""

from __future__ import annotations

import asyncio

from confluent_kafka.admin import AdminClient

from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import PATIENCE_S, until
from tests.kafka.limits.lines import lines, processes


async def groups(pipeline: Pipeline) -> set[str]:
    """Return the groups of the pipeline whose members read together; a probe is a worker's own."""
    client = AdminClient(pipeline.kafka.client())
    found = await asyncio.to_thread(lambda: client.list_consumer_groups().result(PATIENCE_S))
    return {
        one.group_id
        for one in found.valid
        if one.group_id.startswith(pipeline.names.prefix) and ".probe." not in one.group_id
    }


async def test_a_worker_of_a_pool_serves_its_agents_only_and_two_share_them(pipeline: Pipeline) -> None:
    pipeline.settings = pipeline.settings.changed(pool="scraper")
    await asyncio.gather(pipeline.running("s1"), pipeline.running("s2"))
    elsewhere = await pipeline.submit_many(3, "plain")
    runs = await pipeline.submit_many(120, "fetcher", seconds=0.01)
    await pipeline.ended(runs)
    assert lines(pipeline.effects_folder, "plain") == [], "nobody serves the default pool yet"
    prefix = pipeline.names.topic("streams.")
    assert await groups(pipeline) == {f"{prefix}scraper"}
    done = [line.split()[1] for line in lines(pipeline.effects_folder, "fetcher") if line.endswith("end")]
    counts = {pid: done.count(pid) for pid in set(done)}
    assert sum(counts.values()) == 120
    assert len(counts) == 2, "both workers"
    assert min(counts.values()) >= 30, counts  # two partitions each, and run ids spread evenly
    assert not await pipeline.log(pipeline.names.journal("default")).all()
    assert await pipeline.log(pipeline.names.journal("scraper")).all()
    pipeline.settings = pipeline.settings.changed(pool="default")
    await pipeline.running("d1")
    await pipeline.ended(elsewhere)
    assert processes(pipeline.effects_folder, "plain").isdisjoint(counts)
    assert await groups(pipeline) == {f"{prefix}scraper", f"{prefix}default"}

    async def told() -> bool:
        beats = [one.event for one in await pipeline.events(pipeline.names.workers)]
        return {vars(beat)["pool"] for beat in beats if beat is not None} == {"default", "scraper"}

    await until(told)
