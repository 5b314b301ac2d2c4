"""Rows from the owner of the key, scans over all workers."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

import pytest

from streams.query.wire import WorkerResponse
from streams.replay.errors import AbsentError, ReplayError, RetentionError
from streams.tables.agent_stats import AgentStats, Took, added
from tests.unit.gateway._gateway import problem, world


async def test_a_row_is_asked_of_its_owner_with_the_wish_for_consistency() -> None:
    async with world() as it:
        it.owners.says["default", "/owner/tables/counts/octo%2Fhello"] = WorkerResponse(200, b'{"key":"octo/hello"}')
        for key in ("octo/hello", "octo%2Fhello"):
            answer = await it.client.get(f"/tables/counts/{key}?consistency=offset:12")
            assert answer.json() == {"key": "octo/hello"}
        assert it.owners.asked[0] == (
            "default",
            "octo/hello",
            "/owner/tables/counts/octo%2Fhello?consistency=offset%3A12",
        )


@pytest.mark.parametrize("key", ["a%0Ab", "a%0A", "%0A", "a%0D%0A/b", "%E2%80%A8", "a%20b%3Fc%23d"])
async def test_keys_of_any_characters_are_reached(key: str) -> None:
    async with world() as it:
        it.owners.says["default", f"/owner/tables/counts/{quote(unquote(key), safe='')}"] = WorkerResponse(
            200, b'{"found":1}'
        )
        assert (await it.client.get(f"/tables/counts/{key}")).json() == {"found": 1}
        assert it.owners.asked[-1][1] == unquote(key)


async def test_no_row_and_no_table_are_404() -> None:
    async with world() as it:
        problem(await it.client.get("/tables/counts/nope"), 404, "not-found")
        problem(await it.client.get("/tables/nope/key"), 404, "unknown-table")
        problem(await it.client.get("/tables/nope"), 404, "unknown-table")


@pytest.mark.parametrize("query", ["consistency=12", "consistency=offset:x", "at=then"])
async def test_a_wrong_wish_is_422(query: str) -> None:
    async with world() as it:
        problem(await it.client.get(f"/tables/counts/key?{query}"), 422, "invalid-request")


async def test_an_offset_is_of_one_partition_and_its_topic_may_be_named_without_the_prefix() -> None:
    async with world() as it:
        answer = await it.client.get("/tables/agent_stats/research?consistency=offset:1")
        assert "made of all partitions" in problem(answer, 422, "invalid-request")["detail"]
        await it.client.get("/tables/counts/key?consistency=offset:1&topic=events")
        assert it.owners.asked[-1][2].endswith("topic=events")


async def test_a_moving_key_is_503_with_retry_after() -> None:
    async with world() as it:
        it.owners.silent = {"default"}
        for path in ("/tables/counts/key", "/tables/counts"):
            answer = await it.client.get(path)
            problem(answer, 503, "owner-unavailable")
            assert answer.headers["retry-after"] == "1"


async def test_what_an_owner_refuses_is_passed_on() -> None:
    async with world() as it:
        it.owners.says["default", "/owner/tables/counts/key"] = WorkerResponse(410, b"{}", "3")
        answer = await it.client.get("/tables/counts/key")
        problem(answer, 410, "gone")
        assert answer.headers["retry-after"] == "3"
        it.owners.says["default", "/owner/tables/counts/key"] = WorkerResponse(501, b"not json")
        problem(await it.client.get("/tables/counts/key"), 501, "unsupported")


async def test_scans_are_in_the_order_of_keys_and_paged() -> None:
    async with world() as it:
        it.owners.parts = {"default": [{"rows": [{"key": "a"}, {"key": "é"}]}, {"rows": [{"key": "b"}], "next": "b"}]}
        page = (await it.client.get("/tables/counts?limit=2&prefix=")).json()
        assert [row["key"] for row in page["rows"]] == ["a", "b"]
        await it.client.get("/tables/counts", params={"cursor": page["next"]})
        assert it.owners.asked[-1][2].endswith("cursor=b")
        assert (await it.client.get("/tables")).json()["tables"][1]["of"] == ["new_data_arrived"]


async def test_a_lookup_is_asked_of_all_owners_and_another_field_is_422() -> None:
    async with world() as it:
        it.owners.parts = {"default": [{"rows": [{"key": "b"}]}, {"rows": [{"key": "a"}]}]}
        found = (await it.client.get("/tables/counts?count=3&limit=5")).json()
        assert [row["key"] for row in found["rows"]] == ["a", "b"]
        assert it.owners.asked[-1][2] == "/owner/tables/counts?limit=5&by.count=3"
        assert "count" in problem(await it.client.get("/tables/counts?colour=red"), 422, "invalid-request")["detail"]


async def test_a_row_in_parts_is_merged_over_pools_and_workers() -> None:
    async with world() as it:
        parts = [
            AgentStats(agent="a", queued=1, took=added(Took(), [10, 20])),
            AgentStats(agent="a", queued=2, failed=1),
        ]
        rows = [{"key": "a", "value": part.model_dump(mode="json"), "partition": None} for part in parts]
        it.owners.parts = {"default": rows[:1], "scraper": rows[1:]}
        row = (await it.client.get("/tables/agent_stats/a")).json()
        assert (row["value"]["queued"], row["value"]["failed"], row["value"]["latency_ms"]["max"]) == (3, 1, 20)
        it.owners.parts = {"default": [{"rows": rows[:1]}], "scraper": [{"rows": rows[1:]}]}
        assert (await it.client.get("/tables/agent_stats")).json()["rows"] == [row]
        it.owners.parts = {}
        problem(await it.client.get("/tables/agent_stats/a"), 404, "not-found")


async def test_a_run_s_row_is_looked_for_in_every_pool() -> None:
    async with world() as it:
        it.owners.says["scraper", "/owner/tables/runs/r-1"] = WorkerResponse(200, b'{"key":"r-1"}')
        assert (await it.client.get("/tables/runs/r-1")).json() == {"key": "r-1"}
        problem(await it.client.get("/tables/runs/r-2"), 404, "not-found")


async def test_rows_of_the_past_come_from_the_log() -> None:
    asked: list[tuple[Any, ...]] = []

    def past(table: str, key: str, *, offset: int | None, time_ms: int | None) -> dict[str, Any]:
        asked.append((table, key, offset, time_ms))
        if offset == 1:
            raise AbsentError("none")
        if offset == 2:
            raise RetentionError("retention has deleted it")
        if offset == 3:
            raise ReplayError("there is no offset 3 yet")
        return {"key": key, "value": {"count": 1}}

    async with world(past=past) as it:
        for at in ("7", "offset:7", "1970-01-01T00:00:01Z"):
            assert (await it.client.get("/tables/counts/a", params={"at": at})).json()["value"] == {"count": 1}
        assert asked == [("counts", "a", 7, None), ("counts", "a", 7, None), ("counts", "a", None, 1000)]
        problem(await it.client.get("/tables/counts/a?at=1"), 404, "not-found")
        problem(await it.client.get("/tables/counts/a?at=2"), 410, "gone")
        problem(await it.client.get("/tables/counts/a?at=3"), 422, "invalid-request")
        problem(await it.client.get("/tables/counts/a?at=latest"), 422, "invalid-request")
    async with world() as it:
        problem(await it.client.get("/tables/counts/a?at=7"), 503, "log-unavailable")


async def test_a_copy_answers_whoever_takes_old_rows_and_nobody_else() -> None:
    async with world() as it:
        row = b'{"key":"k","value":{},"topic":"table.counts.v1.default","partition":0,"offset":7,"stale":true}'
        it.owners.silent = {"default"}
        it.owners.says["default", "/standby/tables/counts/k"] = WorkerResponse(200, row)
        assert (await it.client.get("/tables/counts/k?stale=ok")).content == row
        problem(await it.client.get("/tables/counts/k"), 503, "owner-unavailable")
        problem(await it.client.get("/tables/counts/other?stale=ok"), 503, "owner-unavailable")


@pytest.mark.parametrize("query", ["stale=yes", "stale=", "stale=ok&consistency=offset:3"])
async def test_a_wish_for_old_rows_that_makes_no_sense_is_422(query: str) -> None:
    async with world() as it:
        problem(await it.client.get(f"/tables/counts/key?{query}"), 422, "invalid-request")


async def test_figures_of_an_agent_are_503_while_its_pool_has_no_worker() -> None:
    """A 404 would say that the agent never ran."""
    async with world() as it:
        it.owners.silent = {"scraper"}
        problem(await it.client.get("/tables/agent_stats/scraper"), 503, "owner-unavailable")
        problem(await it.client.get("/tables/agent_stats/research"), 404, "not-found")
        problem(await it.client.get("/tables/runs/r1"), 503, "owner-unavailable")
        assert [one["pool"] for one in (await it.client.get("/tables/runs")).json()["incomplete"]] == ["scraper"]
