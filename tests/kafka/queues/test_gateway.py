"""Queues through the gateway: paused in a pool of its own, shown as paused, and a run that is asked for later."""

from __future__ import annotations

from typing import Any

import httpx

from streams.clock import now_ms
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import until
from tests.kafka.gateway._served import served
from tests.kafka.limits.lines import lines, times

WAIT_S = 4


async def shown(client: httpx.AsyncClient, agent: str) -> dict[str, Any]:
    answer = await client.get("/agents")
    return next(one for one in answer.json()["agents"] if one["name"] == agent)


async def test_a_pool_s_agent_is_paused_shown_and_resumed(pipeline: Pipeline) -> None:
    pipeline.settings = pipeline.settings.changed(pool="scraper")
    await pipeline.running("s1")
    async with served(pipeline.settings, declared=False) as (client, _):

        async def is_shown(paused: bool, queued: int) -> bool:
            found = await shown(client, "fetcher")
            return (found["paused"], found["queued"]) == (paused, queued)

        await until(lambda: is_shown(False, 0))
        assert (await shown(client, "plain"))["paused"] is None, "nobody serves its pool"
        assert (await client.post("/agents/fetcher/pause")).status_code == 202
        await until(lambda: is_shown(True, 0))
        body = {"agent": "fetcher", "input": pipeline.task()}
        kept = (await client.post("/runs", json=body)).json()["run_id"]
        await until(lambda: is_shown(True, 1))
        assert lines(pipeline.effects_folder, "fetcher") == []
        assert (await client.get(f"/runs/{kept}")).json()["status"] == "queued"
        assert (await client.post("/agents/fetcher/resume")).status_code == 202
        await pipeline.ended([kept])
        await until(lambda: is_shown(False, 0))

        asked = now_ms()
        later = (await client.post("/runs", json={**body, "not_before": WAIT_S})).json()["run_id"]
        assert (await client.get(f"/runs/{later}")).json()["status"] == "queued"
        soon = (await client.post("/runs", json=body)).json()["run_id"]
        await pipeline.ended([later, soon])
        begun = times(pipeline.effects_folder, "fetcher", "begin")
        assert begun[-1] >= asked / 1000 + WAIT_S
