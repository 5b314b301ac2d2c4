"""Statements that want more than to read, asked of a real PostgreSQL as four roles: nothing changes, nothing leaks."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import psycopg
import pytest

from streams.tools import _postgres, _rows, database
from streams.tools._call import call_tool
from streams.tools._functions import ALLOWED
from streams.tools.database import execute_database_query, query
from streams.tools.errors import QueryRefusedError, ToolError
from tests.contract.database._cluster import Cluster

ROLES = ("reader", "owner", "maker", "postgres")
HOSTILE = [
    "DELETE FROM people",
    "UPDATE people SET name = 'x'",
    "INSERT INTO people VALUES (9, 'x')",
    "TRUNCATE people",
    "DROP TABLE people",
    "DROP SCHEMA public CASCADE",
    "ALTER TABLE people ADD COLUMN x int",
    "CREATE TABLE more (x int)",
    "CREATE TEMP TABLE more (x int)",
    "SELECT * INTO more FROM people",
    "SELECT * INTO TEMP more FROM people",
    "SELECT 1; DROP TABLE people",
    "SELECT 1; COMMIT; DROP SCHEMA public CASCADE;",
    "SELECT 1) AS asked) AS counted) AS kept; DROP TABLE people; --",
    "SELECT 1) AS asked LIMIT 1) AS counted) AS kept; COMMIT; DELETE FROM people; SELECT (SELECT (SELECT (SELECT 1",
    "COMMIT",
    "BEGIN READ WRITE",
    "SET TRANSACTION READ WRITE",
    "SET default_transaction_read_only = off",
    "SET ROLE postgres",
    "RESET ROLE",
    "SET SESSION AUTHORIZATION postgres",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "SELECT set_config('role', 'postgres', false)",
    "SELECT set_config('statement_timeout', '0', false)",
    "WITH gone AS (DELETE FROM people RETURNING *) SELECT * FROM gone",
    "WITH gone AS (UPDATE people SET name = 'x' RETURNING *) SELECT * FROM gone",
    "DELETE FROM people RETURNING *",
    "EXPLAIN ANALYZE DELETE FROM people",
    "EXPLAIN SELECT 1",
    "SELECT * FROM people FOR UPDATE",
    "LOCK TABLE people",
    "COPY people TO '/tmp/streams-copy'",
    "COPY people FROM PROGRAM 'id'",
    "COPY (SELECT 1) TO PROGRAM 'touch /tmp/streams-ran'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_catalog.pg_read_binary_file('/etc/passwd')",
    "SELECT \"pg_read_file\"('/etc/passwd')",
    "SELECT * FROM pg_ls_dir('/')",
    "SELECT (pg_stat_file('/etc/passwd')).*",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(4711, '/tmp/streams-large')",
    "SELECT lo_unlink(4711)",
    "SELECT lo_put(4711, 0, 'gone')",
    "SELECT lo_from_bytea(0, 'new')",
    "SELECT dblink('host=127.0.0.1', 'DELETE FROM people')",
    "SELECT dblink_exec('host=127.0.0.1', 'DELETE FROM people')",
    "SELECT query_to_xml('SELECT pg_sleep(60)', true, true, '')",
    "SELECT * FROM ts_stat('SELECT pg_sleep(60)')",
    "SELECT ts_rewrite('a'::tsquery, 'SELECT pg_sleep(60)')",
    "SELECT nextval('counter')",
    "SELECT setval('counter', 1000)",
    "SELECT erase()",
    "SELECT hidden_write()",
    "SELECT * FROM people WHERE erase() = 1",
    "CALL erase_all()",
    "DO $$ BEGIN DELETE FROM people; END $$",
    "SELECT pg_terminate_backend(pg_backend_pid())",
    "SELECT pg_cancel_backend(1)",
    "SELECT pg_reload_conf()",
    "SELECT pg_sleep(60)",
    "SELECT 1 FROM people p WHERE (p).pg_sleep = 1",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_notify('a', 'b')",
    "SELECT pg_logical_emit_message(false, 'a', 'b')",
    "SELECT txid_current()",
    "SELECT current_setting('data_directory')",
    "NOTIFY a, 'b'",
    "LISTEN a",
    "VACUUM",
    "ANALYZE people",
    "REINDEX TABLE people",
    "CHECKPOINT",
    "LOAD 'auto_explain'",
    "PREPARE p AS DELETE FROM people",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE EXTENSION dblink",
    "GRANT ALL ON people TO reader",
    "ALTER ROLE reader SUPERUSER",
    "ALTER SYSTEM SET fsync = off",
    "SHOW data_directory",
    'SELECT U&"pg\\005fsleep"(60)',
    "SELECT E'\\'', pg_sleep(60) --'",
    "SELECT 'a\\', pg_sleep(60), '--'",
    "SELECT /* /* */ */ pg_sleep(60)",
    "SELECT $a$ $b$ $a$, pg_sleep(60), $c$ $c$",
    "MERGE INTO people USING secrets ON true WHEN MATCHED THEN DELETE",
    "",
    ";",
    "-- nothing",
]
NO_TABLE_OF_READERS = "SELECT word FROM secrets"


@pytest.fixture(scope="module")
def url(cluster: Cluster) -> str:
    return cluster.url("reader")


@pytest.mark.parametrize("role", ROLES)
def test_hostile_statements_change_nothing(cluster: Cluster, role: str) -> None:
    """The checksum of the whole database before and after each of them, in one session after the other."""
    before = cluster.checksum()
    for sql in HOSTILE:
        with pytest.raises((QueryRefusedError, ToolError)):
            query(cluster.url(role), sql, [], 10)
        assert cluster.checksum() == before, sql


@pytest.mark.parametrize("sql", HOSTILE)
def test_each_is_refused_for_good(url: str, sql: str) -> None:
    with pytest.raises(QueryRefusedError):
        query(url, sql, [], 10)


def test_without_our_parser_the_database_still_holds(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each layer alone: with every statement and role let through, form, transaction and rollback keep the data."""

    def as_it_is(job: str, seconds: float, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"sql": arguments["sql"], "dotted": []}

    monkeypatch.setattr(_postgres, "bounded", as_it_is)
    monkeypatch.setattr(_postgres, "_require_reader", lambda _: None)
    monkeypatch.setattr(_rows, "SECONDS", 0.3)
    before = cluster.checksum()
    for role in ("reader", "owner", "postgres"):
        for sql in HOSTILE:
            if "terminate" in sql:
                continue
            try:
                query(cluster.url(role), sql, [], 10)
            except (QueryRefusedError, ToolError):
                continue
    assert cluster.checksum() == before


def test_rows_come_by_column_name_as_plain_json(url: str) -> None:
    found = query(url, "SELECT id, name, born, pay, tags, more FROM people WHERE id < $1 ORDER BY id;", [3], 10)
    assert found.rows == [
        {"id": 1, "name": "Ada", "born": "1815-12-10", "pay": 10.5, "tags": ["a", "b"], "more": {"x": 1}},
        {"id": 2, "name": "Bob", "born": None, "pay": None, "tags": None, "more": None},
    ]
    assert (found.count, found.truncated) == (2, False)


@pytest.mark.parametrize(
    ("sql", "params", "value"),
    [
        ("SELECT count(*) AS v FROM people -- all of them", [], 3),
        ("WITH n AS (SELECT generate_series(1, 4) AS i) SELECT sum(i) FILTER (WHERE i > $1) AS v FROM n", [2], 7),
        ("VALUES ($1::text)", ["a;b--'c"], "a;b--'c"),
        ("SELECT name AS v FROM people WHERE name ~ '^A\\w+$'", [], "Ada"),
        ("SELECT more->>'x' AS v FROM people WHERE more @> '{\"x\": 1}'", [], "1"),
        ("SELECT extract(year FROM born)::int AS v FROM people WHERE id = $1", [1], 1815),
        ("SELECT string_agg(name, ',' ORDER BY id DESC) AS v FROM people", [], "Cyn,Bob,Ada"),
        ("SELECT rank() OVER (ORDER BY id) AS v FROM people ORDER BY 1 DESC LIMIT 1", [], 3),
        ("SELECT $1::bool AS v", [True], True),
        ("SELECT $1::float8 + $2 AS v", [1.5, 2], 3.5),
        ("SELECT $1::text IS NULL AS v", [None], True),
        ("SELECT 'NaN'::float8 AS v", [], "NaN"),
        ("TABLE people", [], 1),
    ],
)
def test_what_readers_write_is_answered(url: str, sql: str, params: list[object], value: object) -> None:
    assert next(iter(query(url, sql, params, 10).rows[0].values())) == value


def test_a_parameter_is_a_value_and_never_text_of_the_statement(url: str) -> None:
    assert query(url, "SELECT * FROM people WHERE name = $1", ["' OR 1=1 --"], 10).count == 0


@pytest.mark.parametrize(("sql", "params"), [("SELECT $1::int", []), ("SELECT 1", [1]), ("SELECT $2::int", [1])])
def test_parameters_that_are_missing_or_left_over_are_told(url: str, sql: str, params: list[object]) -> None:
    with pytest.raises(QueryRefusedError, match="parameters were given"):
        query(url, sql, params, 10)


def test_rows_are_cut_and_that_is_told(url: str) -> None:
    found = query(url, "SELECT generate_series(1, 1000000) AS n", [], 3)
    assert (found.rows, found.count, found.truncated) == ([{"n": 1}, {"n": 2}, {"n": 3}], 3, True)


def test_bytes_are_cut_by_the_server(url: str) -> None:
    found = query(url, "SELECT repeat('x', 300000) AS wide FROM generate_series(1, 100)", [], 1000)
    assert (found.count, found.truncated) == (3, True)
    assert query(url, "SELECT repeat('x', 50000000) AS giant", [], 1).rows == []


def test_time_is_limited_by_the_server(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rows, "SECONDS", 1.0)  # which a pause of ours within the transaction must not take, either
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(QueryRefusedError, match="statement timeout"):
        query(url, endless, [], 10)


def test_a_table_that_is_not_granted_is_not_read(url: str) -> None:
    with pytest.raises(QueryRefusedError, match="permission denied"):
        query(url, NO_TABLE_OF_READERS, [], 10)


@pytest.mark.parametrize(
    ("role", "right"),
    [
        ("postgres", "is a superuser"),
        ("maker", "may create roles"),
        ("owner", "may write to public"),
        ("sleeper", "may write to public"),
        ("counting", "may write to public.counter"),
        ("column", "may write to public.people"),
        ("builder", "may create in the schema public"),
        ("server", "is a member of pg_read_server_files"),
        ("heir", "may create roles"),
    ],
)
def test_a_role_that_may_do_more_than_read_is_refused_with_what_it_may(cluster: Cluster, role: str, right: str) -> None:
    with pytest.raises(QueryRefusedError, match=right) as caught:
        query(cluster.url(role), "SELECT 1", [], 1)
    assert "SELECT only" in str(caught.value)


FUNCTIONS = ("set_config", "pg_sleep", "pg_read_file", "lo_export", "query_to_xml", "ts_stat", "nextval", "dblink")


def test_a_statement_that_hides_calls_between_dollar_signs_runs_none_of_them(cluster: Cluster, url: str) -> None:
    """A reader that takes `$1+a$ … $1+a$` for a quoted text sees none of the calls between; the server runs them."""
    sql = (
        "SELECT $1+a$, set_config('role', 'none', false) AS b, query_to_xml("
        "'SELECT pg_read_file(''/etc/passwd'', 0, 60) AS f', true, true, '')::text AS c, $1+a$ FROM (SELECT 1 AS a$) q"
    )
    for role in ROLES:
        with pytest.raises(QueryRefusedError):
            query(cluster.url(role), sql, [], 1)  # `$1` is then the server's own parameter, so it is bound
    for function in FUNCTIONS:
        with pytest.raises(QueryRefusedError, match=function):
            query(url, f"SELECT $1+a$, {function}('x'), $1+a$ FROM (SELECT 1 AS a$) q", [], 1)


def test_a_name_behind_a_dot_calls_no_function(cluster: Cluster, url: str) -> None:
    with psycopg.connect(cluster.url("postgres")) as connection:
        connection.execute("CREATE FUNCTION bare(people) RETURNS int LANGUAGE sql AS 'SELECT 1'")
    for sql in ("SELECT p.bare FROM people p", "SELECT (p).bare FROM people p"):
        with pytest.raises(QueryRefusedError, match="bare behind a dot"):
            query(url, sql, [], 1)


def test_every_function_that_may_be_called_is_one_that_changes_nothing(cluster: Cluster) -> None:
    """By the catalog: none is volatile but the clock and chance, and none that is listed runs a text as a statement."""
    with psycopg.connect(cluster.url("postgres")) as connection:
        volatile = connection.execute(
            "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace "
            "AND provolatile = 'v' AND proname = ANY(%s) ORDER BY 1",
            (sorted(ALLOWED),),
        ).fetchall()
    assert {name for (name,) in volatile} <= {"clock_timestamp", "gen_random_uuid", "random", "timeofday"}


def test_nothing_of_a_query_is_left_for_the_next(cluster: Cluster, url: str) -> None:
    """The same session serves the next query, with the same role, path and clock."""
    setting = "SELECT name, setting AS v FROM pg_settings WHERE name IN ('search_path', 'transaction_read_only')"
    first = query(url, setting, [], 10).rows
    assert {row["name"]: row["v"] for row in first} == {
        "search_path": "pg_catalog, public, pg_temp",
        "transaction_read_only": "on",
    }
    for sql in ("SELECT 1/0", "SELECT nothing", "SELECT 1"):
        try:
            query(url, sql, [], 1)
        except QueryRefusedError:
            continue
    assert query(url, setting, [], 10).rows == first


def test_many_queries_share_few_connections(cluster: Cluster, url: str) -> None:
    done: list[int] = []
    threads = [
        threading.Thread(target=lambda: done.append(query(url, "SELECT 1 AS one", [], 1).count)) for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [1] * 40
    with psycopg.connect(cluster.url("postgres")) as connection:
        counted = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader'").fetchone()
    assert counted is not None
    assert counted[0] <= 4


def test_connections_that_were_cut_are_replaced_at_once(
    cluster: Cluster, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that the pool may hold, as by a restart of the server; a wait of the pool after each would be too long."""
    pauses: list[float] = []
    monkeypatch.setattr("psycopg_pool.pool.sleep", pauses.append)
    with contextlib.ExitStack() as held:
        for _ in range(_postgres.CONNECTIONS):
            held.enter_context(_postgres._pool(url).connection())
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        # with a time limit it returns when the session is gone, not when that has been asked for
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = 'reader'"
        ).fetchall()
    assert ended == [(True,)] * _postgres.CONNECTIONS
    assert query(url, "SELECT 1", [], 1).count == 1
    assert sum(pauses) == 0


def test_a_server_that_is_not_there_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.tools._postgres.WAIT_S", 0.5)
    with pytest.raises(ToolError, match="no connection") as caught:
        query("postgresql://reader:canary-secret@127.0.0.1:1/none", "SELECT 1", [], 1)
    assert "canary-secret" not in str(caught.value)


async def test_the_tool_asks_the_configured_database(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_DATABASE_URL", url.replace("postgresql://", "postgresql+psycopg://"))
    answer = await call_tool(execute_database_query, {"sql": "SELECT name FROM people WHERE id = $1", "params": [2]})
    assert answer == {"rows": [{"name": "Bob"}], "count": 1, "truncated": False}
    assert database.execute_database_query.rate is not None
    assert (database.execute_database_query.rate.count, database.execute_database_query.rate.per) == (100, 60)
