"""Runs in tables: rows and counts that their owner keeps, the same after a kill and after the store is gone."""

from __future__ import annotations

import shutil
from functools import partial
from typing import Any

from tests.apps.pipeline.events import Counted
from tests.faults.rig.pipeline import Pipeline, Worker
from tests.faults.rig.waiting import until


async def listed(worker: Worker, **query: str | int) -> list[str]:
    answer = await worker.owner.get("/owner/runs", params=query)
    assert answer.status_code == 200, answer.text
    return [run["run_id"] for run in answer.json()["runs"]]


async def all_listed(worker: Worker, run_ids: list[str]) -> bool:
    answer = await worker.owner.get("/owner/runs")
    return answer.status_code == 200 and len(answer.json()["runs"]) == len(run_ids)


async def told(worker: Worker, path: str) -> Any:
    answer = await worker.owner.get(f"/owner/tables/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_lists_rows_and_counts_survive_a_kill_and_a_lost_store(pipeline: Pipeline) -> None:
    worker = await pipeline.running()
    done = await pipeline.submit_many(30)
    await pipeline.ended(done)
    waiting = [await pipeline.submit("waiter", pipeline.task()) for _ in range(3)]

    async def all_wait() -> bool:
        return set(await listed(worker, status="waiting")) == set(waiting)

    await until(all_wait, what=worker.words)
    newest = await listed(worker)
    assert set(newest) == {*done, *waiting}
    assert set(await listed(worker, agent="work", status="succeeded")) == set(done)
    row = await told(worker, f"runs/{done[0]}")
    assert (row["value"]["status"], row["value"]["usage"]["tool_calls"]) == ("succeeded", 0)
    counted = (await told(worker, "agent_stats/work"))["value"]
    assert (counted["queued"], counted["running"], counted["succeeded"]) == (0, 0, 30)
    assert counted["latency_ms"]["p50"] > 0
    worker.kill()
    for wiped in (False, True):
        if wiped:
            shutil.rmtree(pipeline.settings.state_dir)
        worker = await pipeline.running()
        await until(partial(all_listed, worker, newest), what=worker.words)
        assert await listed(worker) == newest
        assert set(await listed(worker, status="waiting")) == set(waiting)
        assert (await told(worker, f"runs/{done[0]}"))["value"] == row["value"]
        assert (await told(worker, "agent_stats/work"))["value"] == counted
        assert (await told(worker, "agent_stats/waiter"))["value"]["waiting"] == 3
        assert await worker.stop() == 0, worker.words()


async def test_rows_are_found_by_a_lookup_also_in_a_store_that_was_made_anew(pipeline: Pipeline) -> None:
    worker = await pipeline.running()
    for count, name in enumerate(("ann", "bob", "bo", "cy"), 1):
        for _ in range(count if name != "bo" else 2):
            ack = await pipeline.say(Counted(name=name, amount=1, then="nothing"))
            place = {"consistency": f"offset:{ack.offset}"}
            assert (await worker.owner.get(f"/owner/tables/counts/{name}", params=place)).status_code == 200
    for wiped in (False, True):
        if wiped:
            assert await worker.stop() == 0, worker.words()
            shutil.rmtree(pipeline.settings.state_dir)
            worker = await pipeline.running()
        assert [row["key"] for row in (await told(worker, "counts?by.events=2"))["rows"]] == ["bo", "bob"]
        first = await told(worker, "counts?by.events=2&limit=1")
        assert ([row["key"] for row in first["rows"]], first["next"]) == (["bo"], "more")
        assert [row["key"] for row in (await told(worker, "counts?by.events=2&cursor=bo"))["rows"]] == ["bob"]
        assert (await told(worker, "counts?by.events=3"))["rows"] == []
    assert await worker.stop() == 0, worker.words()
