"""`POST /sql`: who may send a statement, how many at a time, and what its errors are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streams.gateway.sql import AT_ONCE
from streams.query.sql.errors import SqlLimitError, SqlRefusedError, SqlUnavailableError
from streams.query.sql.limits import Format, SqlLimits
from streams.query.sql.process import SqlOutput
from tests.unit.gateway._gateway import Settings, api_key, problem, world

BODY = b'{"columns":["a"],"types":["int32"],"rows":[[1]],"truncated":false,"records_read":0,"bytes_read":0}'


class FakeSql:
    """Answers every statement, once `go` is set."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[tuple[str, SqlLimits, Format]] = []
        self.called = asyncio.Semaphore(0)
        self.go = asyncio.Event()
        self.go.set()
        self.error = error

    async def run(self, sql: str, limits: SqlLimits, form: Format) -> SqlOutput:
        self.asked.append((sql, limits, form))
        self.called.release()
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return SqlOutput(BODY, 1, truncated=False, records=0, bytes_read=0)


async def test_a_statement_is_answered_with_its_rows() -> None:
    sql = FakeSql()
    async with world(sql=sql) as here:
        response = await here.post("/sql", {"query": "select 1 as a", "limit": 5})
    assert response.status_code == 200
    assert response.content == BODY
    assert sql.asked == [("select 1 as a", SqlLimits(rows=5), "answer")]


async def test_the_key_needs_the_scope_read() -> None:
    settings = Settings(api_keys=(api_key("reads-a-lot-of-rows", "read"), api_key("submits-a-lot-of-runs", "submit")))
    async with world(settings, sql=FakeSql()) as here:
        body = {"query": "select 1"}
        problem(await here.post("/sql", body), 401, "unauthenticated")
        problem(await here.post("/sql", body, authorization="Bearer submits-a-lot-of-runs"), 403, "forbidden")
        assert (await here.post("/sql", body, authorization="Bearer reads-a-lot-of-rows")).status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (SqlRefusedError("no"), 422, "sql-refused"),
        (SqlLimitError("too much"), 422, "sql-limit"),
        (SqlUnavailableError("no broker"), 503, "log-unavailable"),
    ],
)
async def test_errors_are_problems(error: Exception, status: int, kind: str) -> None:
    async with world(sql=FakeSql(error)) as here:
        for _ in range(AT_ONCE + 1):
            found = problem(await here.post("/sql", {"query": "select 1"}), status, kind)
            assert found["detail"] == str(error)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"query": 1},
        {"query": " "},
        {"query": "x", "limit": 0},
        {"query": "x", "limit": True},
        {"query": "x", "rows": 1},
    ],
)
async def test_a_body_that_does_not_fit_is_refused(body: Any) -> None:
    async with world(sql=FakeSql()) as here:
        problem(await here.post("/sql", body), 422, "invalid-request")


async def test_only_so_many_statements_are_under_way_and_one_of_a_key() -> None:
    names = [f"a-key-of-enough-length-{number}" for number in range(AT_ONCE + 1)]
    sql = FakeSql()
    sql.go.clear()
    settings = Settings(api_keys=tuple(api_key(name, "read") for name in names))
    async with world(settings, sql=sql) as here, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(here.post("/sql", {"query": "select 1"}, authorization=f"Bearer {names[0]}"))
        await sql.called.acquire()
        problem(await here.post("/sql", {"query": "select 1"}, authorization=f"Bearer {names[0]}"), 429, "busy")
        second = tasks.create_task(here.post("/sql", {"query": "select 1"}, authorization=f"Bearer {names[1]}"))
        await sql.called.acquire()
        problem(await here.post("/sql", {"query": "select 1"}, authorization=f"Bearer {names[2]}"), 429, "busy")
        sql.go.set()
        assert [(await one).status_code for one in (first, second)] == [200, 200]


async def test_a_gateway_without_the_log_says_so() -> None:
    async with world() as here:
        problem(await here.post("/sql", {"query": "select 1"}), 503, "log-unavailable")
