"""A statement runs in a process that its deadline ends."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from streams.query.sql.errors import SqlLimitError, SqlRefusedError, SqlUnavailableError
from streams.query.sql.limits import SqlLimits
from streams.query.sql.process import SqlProcesses
from streams.settings import Settings

SETTINGS = Settings(kafka_bootstrap_servers="127.0.0.1:9", apps=())

ENDLESS = "with recursive t(a) as (select 1 union all select a + 1 from t) select max(a) from t"
EXPLODING = "select sum(a.range * b.range) from range(10000000) a, range(10000000) b"


def test_settings_reach_the_process() -> None:
    assert pickle.loads(pickle.dumps(SETTINGS)).kafka().bootstrap_servers == "127.0.0.1:9"


async def test_a_log_that_does_not_answer_is_an_error() -> None:
    with pytest.raises(SqlUnavailableError):
        await SqlProcesses(SETTINGS).run("select count(*) from events", SqlLimits(), "json")


@pytest.mark.parametrize("code", [1, -9])
async def test_a_process_that_ends_otherwise_is_an_error(code: int) -> None:
    from streams.query.sql.process import _output

    with pytest.raises(SqlLimitError, match=str(code)):
        _output(b"", code, SqlLimits())


@pytest.mark.parametrize("sql", [ENDLESS, EXPLODING])
async def test_a_statement_without_end_is_ended(sql: str) -> None:
    with pytest.raises(SqlLimitError, match="more than 2 s"):
        await SqlProcesses(SETTINGS).run(sql, SqlLimits(seconds=2), "json")


async def test_the_process_returns_rows() -> None:
    found = await SqlProcesses(SETTINGS).run("select 1 as a", SqlLimits(), "csv")
    assert found.body == b'"a"\n1\n'


async def test_cancelling_ends_the_process() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await SqlProcesses(SETTINGS).run(ENDLESS, SqlLimits(), "json")


def test_errors_are_those_of_the_process() -> None:
    import json

    from streams.query.sql.process import _output

    head = json.dumps({"error": "SqlRefusedError", "message": "no"}).encode()
    with pytest.raises(SqlRefusedError, match="no"):
        _output(len(head).to_bytes(4, "big") + head, 0, SqlLimits())
