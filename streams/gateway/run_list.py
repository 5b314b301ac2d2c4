"""`GET /runs`: all runs, newest first, filtered by the workers and merged here."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from schemas.run import STATUSES
from streams.clock import iso
from streams.contract.runs import RunPage
from streams.gateway.answers import answer_as
from streams.gateway.operation import TEXT, Operation, Param
from streams.gateway.pages import CURSOR, LIMIT, check_names, cursor, cursor_of, gather, limit_of, merged, texts
from streams.gateway.pools import no_worker
from streams.gateway.problem import INVALID_REQUEST, NOT_FOUND, OWNER_UNAVAILABLE, invalid_request

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.gateway.deps import Deps
    from streams.gateway.operation import OperationCall

_FILTERS: Final = (
    *texts("agent", "parent"),
    Param("key", TEXT, "only those with this concurrency key"),
    Param("status", {"type": "string", "enum": list(STATUSES)}, "only those with this status"),
    Param("since", {"type": "string", "format": "date-time"}, "only those created at or after this time"),
    LIMIT,
    CURSOR,
)


class RunList:
    """Asks every live worker for its newest runs; a cursor is the `created_at` and id of the last run shown.

    A list of one agent's runs is its pool's alone, and 503 while that has no worker; a list over all pools says under
    `incomplete` whose runs are not in it.
    """

    def __init__(self, deps: Deps) -> None:
        self._owners = deps.owners
        self._pool_of = {agent.name: agent.pool for agent in deps.catalog.agents.values()}
        self._pools = sorted({"default", *self._pool_of.values()})

    async def __call__(self, call: OperationCall) -> Response:
        """Answer one page."""
        query = call.query_params
        check_names(call, "agent", "status", "parent", "key", "since", "limit", "cursor")
        limit = limit_of(call)
        status = query.get("status")
        if status is not None and status not in STATUSES:
            raise invalid_request("status", f"it must be one of {', '.join(STATUSES)}")
        given: dict[str, str | int | None] = {
            "agent": query.get("agent"),
            "status": status,
            "parent": query.get("parent"),
            "key": query.get("key"),
            "since": _since(query.get("since")),
            "limit": limit,
            "cursor": cursor_position(call),
        }
        live = self._owners.pools()
        home = self._pool_of.get(query.get("agent") or "")
        there = [pool for pool in live if pool in self._pools]
        pools = there or ["default"] if home is None else [home, *(pool for pool in there if pool != home)]
        parts = await gather(self._owners, pools, "/owner/runs", given)
        runs, more = merged(parts, "runs", order, limit, newest_first=True)
        found = {"runs": runs, "next": cursor("~".join(order(runs[-1]))) if more else None}
        lacking = [] if home is not None else [pool for pool in self._pools if pool not in pools]
        incomplete = {"incomplete": [no_worker(pool) for pool in lacking]} if lacking else {}
        return answer_as(RunPage, {**found, **incomplete})

    def operations(self) -> list[Operation]:
        """Return the operation that lists runs."""
        problems = (INVALID_REQUEST, NOT_FOUND, OWNER_UNAVAILABLE)
        return [Operation("GET", "/runs", self, "read", "Runs, newest first", {200: RunPage}, problems, _FILTERS)]


def order(run: dict[str, Any]) -> tuple[str, str]:
    """Return what lists of runs are sorted by."""
    return str(run["created_at"]), str(run["run_id"])


def cursor_position(call: OperationCall) -> str | None:
    """Return the place behind which the page begins; Problem 422 for one that no list of runs gave."""
    position = cursor_of(call)
    if position is None:
        return None
    created, tilde, _ = position.partition("~")
    try:
        known = bool(tilde) and datetime.fromisoformat(created).tzinfo is not None
    except ValueError:
        known = False
    if not known:
        raise invalid_request("cursor", "it must be one that an earlier answer gave as next")
    return position


def _since(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise invalid_request("since", "it must be an RFC 3339 time") from None
    if moment.tzinfo is None:
        raise invalid_request("since", "it must have an offset, such as Z")
    try:
        return iso(max(round(moment.timestamp() * 1000), 0))  # no run is older
    except (ValueError, OverflowError):  # in UTC it is after the year 9999
        raise invalid_request("since", "it must be before the year 10000 in UTC") from None
