"""Rows from the owner of the key, scans over all workers."""

from __future__ import annotations

import pytest

from streams.query.owners import Answer
from tests.unit.gateway._gateway import problem, world


async def test_a_row_is_asked_of_its_owner_with_the_wish_for_consistency() -> None:
    async with world() as it:
        it.owners.says["default", "/owner/tables/counts/octo%2Fhello"] = Answer(200, b'{"key":"octo/hello"}')
        for key in ("octo/hello", "octo%2Fhello"):
            answer = await it.client.get(f"/tables/counts/{key}?consistency=offset:12")
            assert answer.json() == {"key": "octo/hello"}
        assert it.owners.asked[0] == (
            "default",
            "octo/hello",
            "/owner/tables/counts/octo%2Fhello?consistency=offset%3A12",
        )


async def test_no_row_and_no_table_are_404() -> None:
    async with world() as it:
        problem(await it.client.get("/tables/counts/nope"), 404, "not-found")
        problem(await it.client.get("/tables/nope/key"), 404, "unknown-table")
        problem(await it.client.get("/tables/nope"), 404, "unknown-table")


@pytest.mark.parametrize("query", ["consistency=12", "consistency=offset:x", "at=then"])
async def test_a_wrong_wish_is_422(query: str) -> None:
    async with world() as it:
        problem(await it.client.get(f"/tables/counts/key?{query}"), 422, "invalid-request")


async def test_a_moving_key_is_503_with_retry_after() -> None:
    async with world() as it:
        it.owners.silent = {"default"}
        for path in ("/tables/counts/key", "/tables/counts"):
            answer = await it.client.get(path)
            problem(answer, 503, "owner-unavailable")
            assert answer.headers["retry-after"] == "1"


async def test_what_an_owner_refuses_is_passed_on() -> None:
    async with world() as it:
        it.owners.says["default", "/owner/tables/counts/key"] = Answer(410, b"{}", "3")
        answer = await it.client.get("/tables/counts/key")
        problem(answer, 410, "gone")
        assert answer.headers["retry-after"] == "3"
        it.owners.says["default", "/owner/tables/counts/key"] = Answer(501, b"not json")
        problem(await it.client.get("/tables/counts/key?at=offset:3"), 501, "unsupported")


async def test_scans_are_in_the_order_of_keys_and_paged() -> None:
    async with world() as it:
        it.owners.parts = {"default": [{"rows": [{"key": "a"}, {"key": "é"}]}, {"rows": [{"key": "b"}], "next": "b"}]}
        page = (await it.client.get("/tables/counts?limit=2&prefix=")).json()
        assert [row["key"] for row in page["rows"]] == ["a", "b"]
        await it.client.get("/tables/counts", params={"cursor": page["next"]})
        assert it.owners.asked[-1][2].endswith("cursor=b")
        assert (await it.client.get("/tables")).json()["tables"][0]["of"] == ["new_data_arrived"]
