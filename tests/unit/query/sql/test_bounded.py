"""Statements that are allowed and ask for too much: each ends in its process, at a limit, with one line."""

from __future__ import annotations

import pytest

from streams.query.sql.errors import SqlLimitError, SqlRefusedError
from streams.query.sql.limits import SqlLimits
from streams.query.sql.process import SqlProcesses
from streams.settings import Settings

LIMITS = SqlLimits(rows=1_000, seconds=2, memory_mib=128, result_mib=4)

TOO_MUCH = {
    "recursion without end": "with recursive t(a) as (select 1 union all select a + 1 from t) select max(a) from t",
    "long series": "select sum(a) from generate_series(1, 1000000000000) as s(a)",
    "sort beyond memory": "select * from range(1000000000) order by hash(range) desc",
    "joined strings": "select string_agg(repeat('x', 1000000), '') from range(10000)",
    "list beyond memory": "select list(range) from range(1000000000)",
    "many large rows": "select repeat('x', 1000000) || range from range(100000)",
}


@pytest.mark.parametrize("sql", TOO_MUCH.values(), ids=TOO_MUCH)
async def test_it_ends_at_a_limit(sql: str) -> None:
    with pytest.raises((SqlLimitError, SqlRefusedError)) as ended:
        await SqlProcesses(Settings(kafka_bootstrap_servers="127.0.0.1:9", apps=())).run(sql, LIMITS, "json")
    assert len(str(ended.value)) < 500
    assert "\n" not in str(ended.value)


HARMLESS = {
    "regular expression without backtracking": "select regexp_matches(repeat('a', 100000) || 'b', '(a+)+$')",
    "sum of a finite series": "select sum(a) from generate_series(1, 1000000) as s(a)",
}


@pytest.mark.parametrize("sql", HARMLESS.values(), ids=HARMLESS)
async def test_what_is_linear_is_answered(sql: str) -> None:
    processes = SqlProcesses(Settings(kafka_bootstrap_servers="127.0.0.1:9", apps=()))
    found = await processes.run(sql, SqlLimits(seconds=60), "json")
    assert found.rows == 1
