"""Where a worker answers: whatever URL it is reached under, it serves, and only those who show the cluster secret."""

from __future__ import annotations

import socket

import httpx
import pytest

from tests.faults.rig.pipeline import CLUSTER_SECRET, Pipeline, Worker


async def urls(pipeline: Pipeline) -> set[str]:
    return {vars(one.event)["url"] for one in await pipeline.events(pipeline.names.workers) if one.event is not None}


@pytest.mark.parametrize("url", ["http://worker-0.example:8100", None])
async def test_a_worker_serves_and_says_where_it_is_reached(pipeline: Pipeline, url: str | None) -> None:
    pipeline.environment["STREAMS_WORKER_HOST"] = "0.0.0.0"
    if url is not None:
        pipeline.environment["STREAMS_WORKER_URL"] = url
    worker = await pipeline.running("a")
    run_id = await pipeline.submit("work", pipeline.task(steps=1))
    await pipeline.ended([run_id])
    assert (await worker.owner.get(f"/owner/runs/{run_id}")).json()["status"] == "succeeded"
    port = httpx.URL(worker.url).port
    assert await urls(pipeline) == {url or f"http://{socket.gethostname()}:{port}"}
    assert CLUSTER_SECRET not in worker.words()


async def test_a_real_worker_tells_strangers_nothing(worker: Worker) -> None:
    async with httpx.AsyncClient(base_url=worker.url) as stranger:
        for path in ("/owner/runs", "/owner/tables/counts", "/owner/budgets", "/owner/breakers", "/standby/runs/x"):
            assert (await stranger.get(path)).status_code == 401
        planted = await stranger.post("/owner/answers/abc", json={"do": "put", "value": "planted", "ttl": 60})
        assert planted.status_code == 401
        assert (await stranger.post("/owner/breakers/flaky", json={"state": "open"})).status_code == 401
        assert (await stranger.get("/metrics", headers={"host": "rebound.example"})).status_code == 403
        assert (await stranger.get("/readyz")).status_code == 200
        huge = await stranger.post("/owner/grants", content=b" " * (32 << 20))
        assert huge.status_code == 401
