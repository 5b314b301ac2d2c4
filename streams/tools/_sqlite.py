"""Asks an SQLite file, read-only by four means of SQLite's own, each of which would do alone.

SQLite looks at the time between the steps of its machine only, and one step may be a comparison of two texts that takes
minutes. The query therefore runs in a process that its deadline ends (`_bounded_process`). It sorts in memory, up to a
cap.
"""

from __future__ import annotations

import math
import sqlite3
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from streams import clock
from streams.tools import _rows
from streams.tools._bounded_process import bounded
from streams.tools._rows import QueryRows
from streams.tools.errors import LimitExceededError, QueryRefusedError, ToolError

if TYPE_CHECKING:
    from collections.abc import Sequence

STEPS_BETWEEN_CHECKS = 1_000  # of SQLite's machine: well under a millisecond, where steps are short
HEAP = 256 << 20  # bytes for sorting, grouping and the database's pages
BEYOND_S = 0.5  # for a step that is under way at the end
MAX_VALUE = 500_000  # bytes of one value, so that no expression builds a giant one
READS = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
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


def query(url: str, sql: str, params: Sequence[Any], limit: int) -> QueryRows:
    """Run one statement on the file of `sqlite:///path`; errors as `execute_database_query` describes them."""
    seconds = _rows.SECONDS
    asked = {
        "url": url,
        "sql": sql,
        "params": list(params),
        "limit": limit,
        "seconds": seconds,
        "folder": str(Path.cwd()),
    }
    try:
        found = bounded("query_sqlite", seconds + BEYOND_S, {**asked, "folder": str(Path.cwd())})
        return QueryRows.model_validate(found)
    except LimitExceededError as error:
        raise QueryRefusedError(
            f"The statement was stopped: it may run for {seconds:g} s, in {HEAP >> 20} MiB of memory."
        ) from error


def read(url: str, sql: str, params: Sequence[Any], limit: int, seconds: float, folder: str) -> QueryRows:
    """Do the same in this process, within `seconds` as far as SQLite looks at them; relative paths are of `folder`."""
    path = unquote(urlsplit(url).path.removeprefix("/"))
    try:
        connection = sqlite3.connect(
            f"file:{_escaped(str(Path(folder) / path))}?mode=ro", uri=True, isolation_level=None, timeout=5.0
        )
    except sqlite3.OperationalError as error:
        raise ToolError(f"The database cannot be opened ({error}); is its file there?") from error
    try:
        _restrict(connection, seconds)
        return _read(connection, sql, params, limit)
    except MemoryError as error:
        raise QueryRefusedError(f"The statement was stopped: it takes more than {HEAP >> 20} MiB of memory.") from error
    except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeEncodeError) as error:
        raise QueryRefusedError(f"The statement was refused: {error}.") from error
    finally:
        connection.close()


def _restrict(connection: sqlite3.Connection, seconds: float) -> None:
    """Put the layers around a connection that each suffice alone: read-only file, query_only, authorizer, caps."""
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA temp_store = MEMORY")  # a sort writes no files
    connection.execute(f"PRAGMA hard_heap_limit = {HEAP}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, _rows.MAX_SQL)
    connection.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200)
    connection.set_authorizer(_authorize)
    connection.set_progress_handler(partial(_too_late, clock.monotonic() + seconds), STEPS_BETWEEN_CHECKS)


def _authorize(action: int, _: str | None, second: str | None, *__: object) -> int:
    """Allow reading, and functions that stay inside; everything not named here is denied."""
    if action not in READS:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in DENIED_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _too_late(end: float) -> int:
    return int(clock.monotonic() > end)


def _read(connection: sqlite3.Connection, sql: str, params: Sequence[Any], limit: int) -> QueryRows:
    cursor = connection.execute(sql, params)  # takes a single statement only
    names = [column[0] for column in cursor.description or ()]
    rows: list[dict[str, Any]] = []
    size = 0
    for record in cursor:
        size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in record)
        if len(rows) == limit or size > _rows.MAX_BYTES:
            return QueryRows(rows=rows, count=len(rows), truncated=True)
        rows.append({name: _plain(value) for name, value in zip(names, record, strict=True)})
    return QueryRows(rows=rows, count=len(rows), truncated=False)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, in the words that PostgreSQL uses for what JSON has not."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    return value.hex() if isinstance(value, bytes) else value


def _escaped(path: str) -> str:
    """Keep a path from passing options of its own to the URI."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
