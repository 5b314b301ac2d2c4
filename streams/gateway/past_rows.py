"""Rows as they were: folded again from the log, as long as it still has what made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from streams.gateway.answers import answer
from streams.gateway.problem import Problem
from streams.gateway.submit import wrong
from streams.query.history import PositionError, position
from streams.replay.errors import AbsentError, ReplayError, RetentionError
from topics.reader import Time

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.define.tables import TableDef
    from streams.gateway.deps import Deps
    from streams.gateway.operation import OperationCall
    from streams.gateway.threads import GatewayThreads

_OFFSET: Final = "offset:"


class Past:
    """Answers `?at=`."""

    def __init__(self, deps: Deps, threads: GatewayThreads) -> None:
        self._rows = deps.past
        self._threads = threads

    async def row(self, call: OperationCall, table: TableDef, key: str) -> Response:
        """Return a row at the offset or time of the query's `at`.

        Problem 404 where there was none, 410 where retention has deleted what made it, 422 for what is no point of
        this table's past, 503 where the log does not answer.
        """
        rows, (offset, time_ms) = self._rows, _point(call.query_params["at"])
        if rows is None:
            raise Problem("log-unavailable", "This gateway has no access to the log.", retry_after=5)

        def found() -> dict[str, Any]:
            return rows(table.name, key, offset=offset, time_ms=time_ms)

        try:
            return answer(await self._threads.run(found, call, watch=True))
        except AbsentError as error:
            raise Problem("not-found", f"Table '{table.name}' had no such row then.") from error
        except RetentionError as error:
            raise Problem("gone", str(error)) from error
        except ReplayError as error:
            raise wrong("at", str(error)) from error


def _point(text: str) -> tuple[int | None, int | None]:
    """Return an offset or a time in milliseconds; Problem 422 for anything else."""
    try:
        found = position(text.removeprefix(_OFFSET))
    except PositionError as error:
        raise wrong("at", "it must be an offset or an RFC 3339 time") from error
    if isinstance(found, int):
        return found, None
    if not isinstance(found, Time):
        raise wrong("at", "it must be an offset or an RFC 3339 time")
    return None, found.ms
