"""Statements that want more than to read: none gets it, and the database is byte for byte what it was."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest

from streams.tools import _rows
from streams.tools._call import call_tool
from streams.tools.database import execute_database_query, query
from streams.tools.errors import InvalidArgumentsError, QueryRefusedError, ToolError

HOSTILE = [
    "DELETE FROM people",
    "UPDATE people SET name = 'x'",
    "INSERT INTO people VALUES (9, 'x')",
    "REPLACE INTO people VALUES (1, 'x')",
    "DROP TABLE people",
    "ALTER TABLE people ADD COLUMN x",
    "CREATE TABLE more (x)",
    "CREATE TEMP TABLE more (x)",
    "CREATE TRIGGER t AFTER INSERT ON people BEGIN DELETE FROM people; END",
    "CREATE VIEW v AS SELECT 1",
    "SELECT 1; DROP TABLE people",
    "SELECT 1; COMMIT; DELETE FROM people",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "SAVEPOINT s",
    "ATTACH DATABASE '/tmp/streams-attached.db' AS other",
    "DETACH DATABASE main",
    "VACUUM",
    "VACUUM INTO '/tmp/streams-copy.db'",
    "REINDEX",
    "ANALYZE",
    "PRAGMA query_only = OFF",
    "PRAGMA writable_schema = ON",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA database_list",
    "SELECT load_extension('/tmp/evil.so')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('/tmp/streams-written', 'x')",
    "SELECT zeroblob(1000000000)",
    "SELECT * FROM pragma_database_list",
    "EXPLAIN DELETE FROM people",
    "WITH gone AS (SELECT 1) DELETE FROM people",
    "DELETE FROM people RETURNING *",
    "SELECT group_concat(a.name || b.name) || hex(zeroblob(9999999)) FROM people a, people b",
]


@pytest.fixture
def url(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "data.db") as connection:
        connection.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
        connection.executemany("INSERT INTO people VALUES (?, ?)", [(1, "Ada"), (2, "Bob"), (3, "Cyn")])
    connection.close()
    return f"sqlite:///{tmp_path / 'data.db'}"


def test_rows_come_by_column_name(url: str) -> None:
    found = query(url, "SELECT id, name FROM people WHERE name <> ? ORDER BY id", ["Bob"], 10)
    assert found.rows == [{"id": 1, "name": "Ada"}, {"id": 3, "name": "Cyn"}]
    assert (found.count, found.truncated) == (2, False)


def test_a_cap_on_rows_is_told(url: str) -> None:
    found = query(url, "SELECT id FROM people", [], 2)
    assert (found.count, found.truncated) == (2, True)


def test_a_cap_on_bytes_is_told(url: str) -> None:
    found = query(
        url,
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100) "
        "SELECT printf('%.*c', 100000, 'x') AS wide FROM n",
        [],
        1000,
    )
    assert found.truncated
    assert found.count <= 10


@pytest.mark.parametrize("sql", HOSTILE)
def test_hostile_statements_are_refused_and_change_nothing(url: str, sql: str) -> None:
    path = Path(url.removeprefix("sqlite:///"))
    before = hashlib.sha256(path.read_bytes()).digest()
    with pytest.raises(QueryRefusedError):
        query(url, sql, [], 10)
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert [found.name for found in path.parent.iterdir()] == ["data.db"]
    assert not list(Path("/tmp").glob("streams-*.db"))
    assert not Path("/tmp/streams-written").exists()


def test_a_parameter_is_a_value_and_never_text_of_the_statement(url: str) -> None:
    assert query(url, "SELECT * FROM people WHERE name = ?", ["' OR 1=1 --"], 10).count == 0


def test_a_statement_without_end_is_stopped(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rows, "SECONDS", 0.1)
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    with pytest.raises(QueryRefusedError, match="interrupted"):
        query(url, endless, [], 10)


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ToolError):
        query(f"sqlite:///{tmp_path / 'none.db'}", "SELECT 1", [], 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file:///etc/passwd", "mysql://h/d"])
def test_other_databases_are_refused(kind: str) -> None:
    with pytest.raises(QueryRefusedError, match="sqlite:///"):
        query(kind, "SELECT 1", [], 1)


async def test_the_tool_asks_the_configured_database(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_DATABASE_URL", url)
    answer = await call_tool(execute_database_query, {"sql": "SELECT name FROM people WHERE id = ?", "params": [2]})
    assert answer == {"rows": [{"name": "Bob"}], "count": 1, "truncated": False}
    with pytest.raises(InvalidArgumentsError, match="sql"):
        await call_tool(execute_database_query, {"params": []})


def test_a_step_that_gives_no_way_is_ended_with_its_process(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step of SQLite's machine: a search that compares 200 kB at each of 200,000 places, for seconds."""
    monkeypatch.setattr(_rows, "SECONDS", 0.3)
    one_step = "SELECT instr(printf('%.*c', 480000, 'a'), printf('%.*c', 240000, 'a') || 'b')"
    with pytest.raises(QueryRefusedError, match=r"may run for 0\.3 s"):
        query(url, one_step, [], 1)
    assert query(url, "SELECT 1 AS one", [], 1).rows == [{"one": 1}]


def test_a_sort_that_takes_more_than_its_memory_writes_no_file(url: str, tmp_path: Path) -> None:
    """400 MB of rows to sort: refused at the cap of memory, and no temporary file takes them instead."""
    giant = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1600) "
        "SELECT count(*) FROM (SELECT x, printf('%.*c', 250000, char(97 + x % 26)) AS wide FROM n "
        "ORDER BY wide, x DESC LIMIT -1 OFFSET 1)"
    )
    with pytest.raises(QueryRefusedError, match="256 MiB"):
        query(url, giant, [], 1)


def test_a_database_with_a_write_ahead_log_is_read(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "wal.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE people (name TEXT)")
    connection.execute("INSERT INTO people VALUES ('Ada')")
    connection.commit()
    assert query(f"sqlite:///{tmp_path / 'wal.db'}", "SELECT name FROM people", [], 1).rows == [{"name": "Ada"}]
    connection.close()
    assert query(f"sqlite:///{tmp_path / 'wal.db'}", "SELECT name FROM people", [], 1).rows == [{"name": "Ada"}]


def test_values_that_json_has_not_are_told_in_words(url: str) -> None:
    assert query(url, "SELECT 9e999 AS a, -9e999 AS b", [], 1).rows == [{"a": "Infinity", "b": "-Infinity"}]


@pytest.mark.parametrize("param", [2**70, "\ud800"])
def test_values_that_sqlite_cannot_hold_are_refused(url: str, param: object) -> None:
    with pytest.raises(QueryRefusedError):
        query(url, "SELECT ?", [param], 1)


def test_a_relative_path_is_one_of_the_process_that_asks(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(url.removeprefix("sqlite:///")).parent)
    assert query("sqlite:///data.db", "SELECT count(*) AS n FROM people", [], 1).rows == [{"n": 3}]
