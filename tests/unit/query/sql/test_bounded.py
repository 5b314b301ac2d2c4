"""Statements that are allowed and ask for too much: each ends in its process, at a limit, with one line."""

from __future__ import annotations

import pytest

from streams.query.sql.errors import SqlLimitError, SqlRefusedError
from streams.query.sql.limits import SqlLimits
from streams.query.sql.process import SqlProcesses
from streams.settings import Settings

LIMITS = SqlLimits(rows=1_000, seconds=4, memory_mib=128, result_mib=4)

TOO_MUCH = {
    "recursion without end": "with recursive t(a) as (select 1 union all select a + 1 from t) select max(a) from t",
    "recursion that grows": "with recursive t(a) as (select 1 union all select a + 1 from t, range(9)) from t",
    "long series": "select sum(a) from generate_series(1, 1000000000000) as s(a)",
    "list of a long series": "select generate_series(1, 1000000000000)",
    "cross join": "select sum(a.range * b.range) from range(10000000) a, range(10000000) b",
    "sort beyond memory": "select * from range(1000000000) order by hash(range) desc",
    "groups beyond memory": "select count(*) from (select range, count(*) from range(1000000000) group by 1)",
    "distinct pairs": "select count(distinct (a.range, b.range)) from range(100000) a, range(100000) b",
    "join beyond memory": "select count(*) from range(100000000) a join range(100000000) b on a.range = b.range * 3",
    "window beyond memory": "select row_number() over (order by hash(range)) from range(1000000000)",
    "string of 2 GB": "select repeat('x', 2000000000)",
    "string of 1 TB": "select repeat(repeat(repeat('x', 10000), 10000), 10000)",
    "joined strings": "select string_agg(repeat('x', 1000000), '') from range(10000)",
    "padded string": "select length(lpad('x', 2000000000, 'y'))",
    "list beyond memory": "select list(range) from range(1000000000)",
    "lists in lists": "select list_transform(range(100000), lambda x: range(100000))",
    "list of lists aggregated": "select list(l) from (select range(100000) l from range(100000))",
    "many large rows": "select repeat('x', 1000000) || range from range(100000)",
    "rows without end": "select unnest(range(1000000000)), unnest(range(1000000000))",
    "pivot of many columns": "pivot (select range as a from range(100000)) on a using count(*)",
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
    found = await SqlProcesses(Settings(kafka_bootstrap_servers="127.0.0.1:9", apps=())).run(
        sql, SqlLimits(seconds=20), "json"
    )
    assert found.rows == 1
