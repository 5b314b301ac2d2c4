"""What PostgreSQL's own grammar finds in a statement, before the server is asked."""

from __future__ import annotations

import pytest

from streams.tools._bounded_process import bounded
from streams.tools._statements import check
from streams.tools.errors import QueryRefusedError

HIDDEN = (
    "SELECT $1+a$, set_config('role', 'none', false) AS b, query_to_xml('SELECT pg_read_file(''/etc/passwd'') AS f', "
    "true, true, '')::text AS c, $1+a$ FROM (SELECT 1 AS a$) q"
)


@pytest.mark.parametrize(
    "sql",
    [
        HIDDEN,
        "SELECT $1+a$, pg_sleep(60), $1+a$ FROM (SELECT 1 AS a$) q",
        "SELECT $1-_$, set_config('role', 'none', false), $1-_$ FROM (SELECT 1 AS _$) q",
        "SELECT $1+é$, pg_sleep(9), $1+é$ FROM (SELECT 1 AS é$) q",
        "SELECT $1 /* $a$ */, pg_sleep(9), 1 /* $a$ */",
        "SELECT $1::int, E'\\'', pg_sleep(9) --'",
        "SELECT $1::int, U&\"pg!005fsleep\" UESCAPE '!' (9)",
        'SELECT $1::int, "pg_sleep"(9)',
        "SELECT $1::int, pg_catalog.pg_sleep(9)",
        "SELECT $1::int FROM pg_sleep(9)",
        "SELECT $1::int FROM ROWS FROM (pg_sleep(9))",
        "SELECT $1::int ORDER BY pg_sleep(9)",
        "SELECT $1::int LIMIT (SELECT 1 FROM pg_sleep(9))",
        "SELECT count(*) FILTER (WHERE pg_sleep(9) IS NULL) OVER (ORDER BY $1::int)",
        "WITH x AS MATERIALIZED (SELECT pg_sleep($1)) SELECT 1",
        "SELECT $1::int, public.lower('X')",
        "SELECT * FROM people TABLESAMPLE system_time($1)",
        "SELECT xmltable.* FROM xmltable('/a' PASSING query_to_xml($1, true, true, '') COLUMNS a text)",
        "SELECT json_object('a': pg_sleep($1))",
    ],
)
def test_no_call_is_hidden_from_the_grammar(sql: str) -> None:
    for given in (0, 1):
        with pytest.raises(QueryRefusedError, match=r"may not be called|may not be used|dollar sign"):
            check(sql, given)


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT 'costs $5', \"a$\" FROM people WHERE name = $1", 1),
        ("SELECT name, (people).born, extract(year FROM born), born AT TIME ZONE 'utc' FROM people", 0),
        ("SELECT substring(name FROM 1 FOR 2), trim(BOTH 'x' FROM name), position('a' IN name) FROM people", 0),
        ("SELECT name LIKE 'a!%' ESCAPE '!', name ILIKE $1, name ~ $2 FROM people", 2),
        ("SELECT json_build_object('a', $1::int), '{}'::jsonb @> '{}', array_agg(x ORDER BY x) FROM unnest($2) x", 2),
        ("SELECT rank() OVER w, sum(x) OVER (ROWS UNBOUNDED PRECEDING) FROM t WINDOW w AS (PARTITION BY y)", 0),
        ("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < $1) SELECT * FROM n", 1),
        (
            "SELECT * FROM a LEFT JOIN LATERAL (SELECT 1) b ON true GROUP BY GROUPING SETS ((x), ()) LIMIT $1 OFFSET 2",
            1,
        ),
        ("TABLE people", 0),
        ("VALUES (1, $1)", 1),
        ("SELECT CASE WHEN $1 THEN coalesce(a, nullif(b, c)) ELSE greatest(1, 2) END FROM t TABLESAMPLE SYSTEM (1)", 1),
    ],
)
def test_what_readers_write_is_taken_as_it_is(sql: str, params: int) -> None:
    assert check(f"{sql} ; -- all;", params).sql == f"{sql} "


@pytest.mark.parametrize(
    "sql", ["SELECT 1\0; DROP TABLE people", "SELECT '\ud800'", "SELECT 1 INTO x", "SELECT 1;;SELECT 2"]
)
def test_what_is_no_single_query_is_refused(sql: str) -> None:
    with pytest.raises(QueryRefusedError):
        check(sql, 0)


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT {'date(' * 18}1",
        f"SELECT {'date(' * 3000}1",
        f"SELECT {'(' * 9000}1{')' * 9000}",
        f"SELECT {'(SELECT ' * 2000}1{')' * 2000}",
        f"SELECT {'-' * 1}{'- ' * 6000}1",
        f"SELECT {'[' * 9000}",
        f"SELECT {'1+' * 9000}1",
        f"SELECT {'case when ' * 1500}",
    ],
)
def test_a_statement_that_is_made_to_be_hard_is_read_within_seconds(sql: str) -> None:
    """In a process of its own: what the parser does there, a crash included, is at most a refused statement."""
    with pytest.raises(QueryRefusedError):
        bounded("read_statement", 5.0, {"sql": sql, "params": 1})
