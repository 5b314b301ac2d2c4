"""`GET /runs`: all runs, newest first, filtered by the workers and merged here."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from schemas.run import STATUSES
from streams.clock import iso
from streams.gateway.answers import answer
from streams.gateway.pages import check_names, cursor, cursor_of, gather, limit_of, merged
from streams.gateway.pools import no_worker
from streams.gateway.submit import wrong

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.gateway.deps import Deps
    from streams.gateway.operation import OperationCall


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
            raise wrong("status", f"it must be one of {', '.join(STATUSES)}")
        given: dict[str, str | int | None] = {
            "agent": query.get("agent"),
            "status": status,
            "parent": query.get("parent"),
            "key": query.get("key"),
            "since": _since(query.get("since")),
            "limit": limit,
            "cursor": place_of(call),
        }
        live = self._owners.pools()
        home = self._pool_of.get(query.get("agent") or "")
        there = [pool for pool in live if pool in self._pools]
        pools = there or ["default"] if home is None else [home, *(pool for pool in there if pool != home)]
        parts = await gather(self._owners, pools, "/owner/runs", given)
        runs, more = merged(parts, "runs", order, limit, newest_first=True)
        found = {"runs": runs, "next": cursor("~".join(order(runs[-1]))) if more else None}
        lacking = [] if home is not None else [pool for pool in self._pools if pool not in pools]
        return answer({**found, "incomplete": [no_worker(pool) for pool in lacking]} if lacking else found)


def order(run: dict[str, Any]) -> tuple[str, str]:
    """Return what lists of runs are sorted by."""
    return str(run["created_at"]), str(run["run_id"])


def place_of(call: OperationCall) -> str | None:
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
        raise wrong("cursor", "it must be one that an earlier answer gave as next")
    return position


def _since(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise wrong("since", "it must be an RFC 3339 time") from None
    if moment.tzinfo is None:
        raise wrong("since", "it must have an offset, such as Z")
    try:
        return iso(max(round(moment.timestamp() * 1000), 0))  # no run is older
    except (ValueError, OverflowError):  # in UTC it is after the year 9999
        raise wrong("since", "it must be before the year 10000 in UTC") from None
