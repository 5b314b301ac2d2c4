"""`POST /sql`: one SELECT over the topics, in a process of its own."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from streams.contract.sql import SqlRows
from streams.gateway.body import BODY_PROBLEMS, content, parse
from streams.gateway.operation import JSON, TEXT, Operation
from streams.gateway.problem import BUSY, INVALID_REQUEST, LOG_UNAVAILABLE, ProblemType, invalid_request
from streams.query.sql.errors import SqlLimitError, SqlRefusedError, SqlUnavailableError
from streams.query.sql.limits import SqlLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.gateway.deps import Deps
    from streams.gateway.operation import OperationCall

SQL_REFUSED: Final = ProblemType("sql-refused", 422, "The statement is not allowed or not valid")
SQL_LIMIT: Final = ProblemType("sql-limit", 422, "The statement takes too much")

AT_ONCE: Final = 2
"""Statements at the same time; each is a process of its own."""

SHARE: Final = 1
"""Statements of one API key at the same time."""

_ROWS: Final = 1_000
_MOST_ROWS: Final = 10_000


class SqlResource:
    """Counts the statements under way; a process runs each."""

    def __init__(self, deps: Deps) -> None:
        self._sql = deps.sql
        self._under_way: Counter[str] = Counter()

    async def query(self, call: OperationCall) -> Response:
        """`POST /sql`: the rows of a statement."""
        sql, limits = _asked(parse(await content(call)))
        if self._sql is None:
            raise LOG_UNAVAILABLE("This gateway has no access to the log.", retry_after=5)
        with self._place(call.caller.name if call.caller is not None else ""):
            try:
                found = await self._sql.run(sql, limits, "answer")
            except SqlRefusedError as error:
                raise SQL_REFUSED(str(error)) from error
            except SqlLimitError as error:
                raise SQL_LIMIT(str(error)) from error
            except SqlUnavailableError as error:
                raise LOG_UNAVAILABLE(str(error), retry_after=5) from error
        return Response(found.body, media_type=JSON)

    @contextmanager
    def _place(self, key: str) -> Iterator[None]:
        """Take a place for a statement; Problem 429 when there is none."""
        if self._under_way.total() >= AT_ONCE or (key and self._under_way[key] >= SHARE):
            raise BUSY("Other statements are under way; send this one again when they have ended.", retry_after=1)
        self._under_way[key] += 1
        try:
            yield
        finally:
            self._under_way[key] -= 1

    def operations(self) -> list[Operation]:
        """Return the operation that runs statements."""
        body = {
            "type": "object",
            "required": ["query"],
            "additionalProperties": False,
            "properties": {
                "query": {**TEXT, "description": "one SELECT over the views"},
                "limit": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": _MOST_ROWS,
                    "default": _ROWS,
                    "description": "rows at most",
                },
            },
        }
        return [
            Operation(
                "POST",
                "/sql",
                self.query,
                "read",
                "Rows of a SELECT over the topics",
                {200: SqlRows},
                (SQL_REFUSED, SQL_LIMIT, INVALID_REQUEST, LOG_UNAVAILABLE, BUSY, *BODY_PROBLEMS),
                body={JSON: body},
                tag="log",
            )
        ]


def _asked(body: object) -> tuple[str, SqlLimits]:
    if not isinstance(body, dict):
        raise invalid_request("body", 'it must be an object such as {"query": "SELECT count(*) FROM events"}')
    for name in body:
        if name not in ("query", "limit"):
            raise invalid_request(str(name), "there is no such member; there are query and limit")
    sql, limit = body.get("query"), body.get("limit", _ROWS)
    if not isinstance(sql, str) or not sql.strip():
        raise invalid_request("query", "it must be a SELECT such as SELECT count(*) FROM events")
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= _MOST_ROWS:
        raise invalid_request("limit", f"it must be a number from 1 to {_MOST_ROWS}")
    return sql, SqlLimits(rows=limit)
