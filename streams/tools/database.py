"""The tool that asks a database, read-only by the database's own means: a model's word is never what protects data."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel

from streams import RetryPolicy, clock, settings, tool
from streams.tools.errors import QueryRefusedError, ToolError

Value = str | int | float | bool | None
MAX_ROWS = 1_000
MAX_BYTES = 1_000_000
SECONDS = 20.0
STEPS_BETWEEN_CHECKS = 10_000  # of SQLite's machine; a few milliseconds
MAX_SQL = 20_000
MAX_VALUE = 500_000  # bytes of one value, so that no expression builds a giant one
READS = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    }
)
DENIED_FUNCTIONS = frozenset(
    {
        "load_extension",
        "readfile",
        "writefile",
        "edit",
        "fts3_tokenizer",
        "sqlite_compileoption_get",
        "zeroblob",
        "randomblob",
    }
)


class Rows(BaseModel):
    """The rows by column name; `truncated` says that there were more than were asked for or fit into a megabyte."""

    rows: list[dict[str, Any]]
    count: int
    truncated: bool


@tool(rate="100/60s", timeout=30, retry=RetryPolicy(attempts=2))
def execute_database_query(sql: str, params: list[Value] | None = None, limit: int = 100) -> Rows:
    """Run one SELECT on the configured database and return its rows; values go into `params`, for each `?`."""
    url = settings.load().database_url
    if url is None:
        raise QueryRefusedError(
            "No database is configured: set STREAMS_DATABASE_URL, for example to sqlite:///data.db."
        )
    return query(url.get_secret_value(), sql, params or [], limit)


def query(url: str, sql: str, params: list[Any], limit: int) -> Rows:
    """Run one statement on a database; QueryRefusedError when it may not or cannot run, ToolError without database."""
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        raise QueryRefusedError(f"Databases of kind {parts.scheme!r} are not supported: use sqlite:///path.")
    if len(sql) > MAX_SQL:
        raise QueryRefusedError(f"The statement is longer than {MAX_SQL:,} characters.")
    path = unquote(parts.path.removeprefix("/"))
    try:
        connection = sqlite3.connect(f"file:{_escaped(path)}?mode=ro", uri=True, isolation_level=None, timeout=5.0)
    except sqlite3.OperationalError as error:
        raise ToolError(f"The database cannot be opened ({error}); is its file there?") from error
    try:
        _restrict(connection)
        return _rows(connection, sql, params, max(0, min(limit, MAX_ROWS)))
    except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
        raise QueryRefusedError(f"The statement was refused: {error}.") from error
    finally:
        connection.close()


def _restrict(connection: sqlite3.Connection) -> None:
    """Put the layers around a connection that each suffice alone: read-only file, query_only, authorizer, caps."""
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, MAX_SQL)
    connection.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200)
    connection.set_authorizer(_authorize)
    connection.set_progress_handler(partial(_too_late, clock.monotonic() + SECONDS), STEPS_BETWEEN_CHECKS)


def _authorize(action: int, _: str | None, second: str | None, *__: object) -> int:
    """Allow reading, and functions that stay inside; everything not named here is denied."""
    if action not in READS:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in DENIED_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _too_late(end: float) -> int:
    return int(clock.monotonic() > end)


def _rows(connection: sqlite3.Connection, sql: str, params: list[Any], limit: int) -> Rows:
    cursor = connection.execute(sql, params)  # takes a single statement only
    names = [column[0] for column in cursor.description or ()]
    rows: list[dict[str, Any]] = []
    size = 0
    for record in cursor:
        size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in record)
        if len(rows) == limit or size > MAX_BYTES:
            return Rows(rows=rows, count=len(rows), truncated=True)
        rows.append({name: _plain(value) for name, value in zip(names, record, strict=True)})
    return Rows(rows=rows, count=len(rows), truncated=False)


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _escaped(path: str) -> str:
    """Keep a path from passing options of its own to the URI."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
