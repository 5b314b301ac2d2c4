"""A paused queue on a real worker: what is queued is kept over a restart, what runs goes on."""

from __future__ import annotations

from typing import Any

from schemas.agent import AgentCommanded
from tests.faults.rig.pipeline import Pipeline, Worker
from tests.faults.rig.waiting import until
from tests.kafka.limits.lines import lines


async def order(pipeline: Pipeline, command: str, agent: str = "plain") -> None:
    event = AgentCommanded(agent=agent, command=command, request_id=f"{agent}-{command}")
    await pipeline.producer.send(pipeline.names.signals, event, headers={"agent": agent, "pool": "default"})


async def queue(worker: Worker, agent: str = "plain") -> dict[str, Any]:
    answer = await worker.owner.get("/owner/agents")
    if answer.status_code != 200:
        return {}
    return next(row for row in answer.json()["agents"] if row["name"] == agent)


async def test_a_paused_queue_is_kept_over_a_restart_and_goes_on_when_it_is_resumed(pipeline: Pipeline) -> None:
    first = await pipeline.running("a")
    [under_way] = await pipeline.submit_many(1, "plain", seconds=1.5)
    await until(lambda: bool(lines(pipeline.effects_folder, "plain")))
    await order(pipeline, "pause")

    async def paused(worker: Worker) -> bool:
        return bool((await queue(worker)).get("paused"))

    await until(lambda: paused(first), what=first.words)
    kept = await pipeline.submit_many(6, "plain")
    beside = await pipeline.submit_many(1, "keyed")
    await pipeline.ended([under_way, *beside])

    async def all_queued(worker: Worker) -> bool:
        return (await queue(worker)).get("queued") == 6

    await until(lambda: all_queued(first), what=first.words)
    assert len(lines(pipeline.effects_folder, "plain")) == 2, "only the run that had begun"
    assert await first.stop() == 0
    second = await pipeline.running("b")
    await until(lambda: all_queued(second), what=second.words)
    assert (await queue(second))["paused"]
    await order(pipeline, "pause")  # a repeat under its id
    await order(pipeline, "resume")
    await pipeline.ended(kept)
    assert await queue(second) == {"name": "plain", "queued": 0, "paused": False}
    await order(pipeline, "pause")  # a late repeat pauses nothing
    await pipeline.ended(await pipeline.submit_many(1, "plain"))
