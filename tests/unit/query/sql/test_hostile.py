"""Hostile statements: refused before anything is read."""

from __future__ import annotations

import pytest

from streams.query.sql.errors import SqlRefusedError
from tests.unit.query.sql._log import MemoryLog

REFUSED = [
    "select * from '/etc/passwd'",
    "select * from 'data.csv'",
    "select * from '*.parquet'",
    "select * from read_csv('/etc/passwd')",
    "select * from read_csv_auto('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "select * from read_blob('/proc/self/environ')",
    "select * from read_json('/etc/passwd')",
    "select * from read_parquet('s3://bucket/file')",
    "select * from read_csv('http://127.0.0.1:8000/metrics')",
    "select * from 'https://example.com/a.csv'",
    "select * from glob('/**')",
    "select * from sniff_csv('/etc/passwd')",
    "select * from parquet_metadata('/etc/passwd')",
    "select * from query('select 1')",
    "select * from query_table('events')",
    "select * from duckdb_settings()",
    "select * from duckdb_secrets()",
    "select * from duckdb_extensions()",
    "select * from pragma_database_list()",
    "select * from information_schema.tables",
    "select * from pg_catalog.pg_tables",
    "select * from sqlite_master",
    "select * from call_records",
    "select * from main.events",
    "select current_setting('memory_limit')",
    "select getenv('HOME')",
    "install httpfs",
    "load httpfs",
    "install spatial from community",
    "attach '/etc/passwd' as p",
    "attach ':memory:' as p",
    "detach memory",
    "use memory",
    "copy (select 1) to '/tmp/out.csv'",
    "copy events from '/etc/passwd'",
    "export database '/tmp/out'",
    "import database '/tmp/out'",
    "set memory_limit = '100GB'",
    "set enable_external_access = true",
    "reset memory_limit",
    "pragma version",
    "pragma database_list",
    "pragma enable_profiling",
    "create table t (a int)",
    "create macro f() as 1",
    "create secret (type s3)",
    "drop view events",
    "insert into events values (1)",
    "update events set key = 'x'",
    "delete from events",
    "alter table events add column a int",
    "call pragma_version()",
    "explain select 1",
    "explain analyze select * from events",
    "prepare p as select 1",
    "execute p",
    "begin transaction",
    "checkpoint",
    "vacuum",
    "describe events",
    "show tables",
    "summarize events",
    "select 1; select 2",
    "select 1; drop view events",
    "with x as (select 1) insert into events select * from x",
    "select * from (select * from read_text('/etc/passwd')) t",
    "select (select content from read_text('/etc/passwd'))",
    "with f as (select * from read_text('/etc/passwd')) select * from f",
    "select 1 where exists (from read_csv('/etc/passwd'))",
    "select ?",
    "select $name",
    "",
    ";",
    "nonsense",
    "select * from events where",
    "select " + "1 + " * 40_000 + "1",
    "select " + "(" * 30_000 + "1" + ")" * 30_000,
    "select * from (" * 2_000 + "select 1" + ")" * 2_000,
    "select " + "(" * 900 + "1 + count(*)" + " + 1)" * 900 + " from events at (version => 1)",
]


@pytest.mark.parametrize("sql", REFUSED, ids=lambda sql: sql[:60] or "empty")
def test_what_is_no_select_over_the_views_is_refused(log: MemoryLog, sql: str) -> None:
    with pytest.raises(SqlRefusedError) as refused:
        log.select(sql)
    assert len(str(refused.value)) < 700
    assert "\n" not in str(refused.value)
    assert "Use " not in str(refused.value)  # no setting that cannot be changed
    assert log.reads == []


def test_local_variables_are_no_tables(log: MemoryLog) -> None:
    frame = log.select("select 1 as a").table
    assert frame.num_rows == 1
    with pytest.raises(SqlRefusedError):
        log.select("select * from frame")
