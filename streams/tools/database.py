"""The tool that asks a database, read-only by the database's own means: a model's word is never what protects data."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from streams import RetryPolicy, settings, tool
from streams.tools._rows import MAX_ROWS, MAX_SQL, QueryRows
from streams.tools.errors import QueryRefusedError

Value = str | int | float | bool | None
THREADS = 6  # of their own, so that a slow database holds up nothing but its own queries


@tool(rate="100/60s", timeout=30, retry=RetryPolicy(attempts=2))
async def execute_database_query(sql: str, params: list[Value] | None = None, limit: int = 100) -> QueryRows:
    """Run one SELECT on the configured database and return its rows.

    Values go into `params`, for `$1`, `$2`, … in PostgreSQL and for each `?` in SQLite.
    """
    url = settings.load().database_url
    if url is None:
        raise QueryRefusedError(
            "No database is configured: set STREAMS_DATABASE_URL, for example to postgresql://reader@host/name "
            "or sqlite:///data.db."
        )
    running = asyncio.get_running_loop()
    return await running.run_in_executor(_threads(), query, url.get_secret_value(), sql, params or [], limit)


def query(url: str, sql: str, params: list[Any], limit: int) -> QueryRows:
    """Run one statement on a database.

    Raises QueryRefusedError when it may not or cannot run, ToolError when the database is not there or too busy.
    """
    kind = urlsplit(url).scheme.partition("+")[0]  # some write the driver behind it, as SQLAlchemy does
    if len(sql) > MAX_SQL:
        raise QueryRefusedError(f"The statement is longer than {MAX_SQL:,} characters.")
    rows = max(0, min(limit, MAX_ROWS))
    if kind == "sqlite":
        from streams.tools import _sqlite  # noqa: PLC0415 - one of the two, when it is asked

        return _sqlite.query(url, sql, params, rows)
    if kind in {"postgresql", "postgres"}:
        from streams.tools import _postgres  # noqa: PLC0415 - its driver loads slowly, and commands import tools

        return _postgres.query(f"{kind}:{url.partition(':')[2]}", sql, params, rows)
    raise QueryRefusedError(
        f"Databases of kind {kind!r} are not supported: use postgresql://user@host/name or sqlite:///path."
    )


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "database")
