"""What runs ask people, and their answers. One yes allows one thing, and does not come from who started the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from schemas.signal import SignalSent
from streams.engine.approvals import SIGNAL, open_approvals
from streams.gateway.answers import answer
from streams.gateway.commands import optional
from streams.gateway.ids import check_key, hashed
from streams.gateway.lists import order, place_of
from streams.gateway.operation import Operation, OperationCall, Param
from streams.gateway.operations import CURSOR, LIMIT, TEXT, list_of
from streams.gateway.pages import check_names, cursor, gather, limit_of, merged
from streams.gateway.problem import Problem
from streams.gateway.submit import IDEMPOTENCY_KEY, wrong

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.gateway.commands import Commands
    from streams.gateway.deps import Deps
    from streams.gateway.runs import FoundRun, Runs

_MAX_COMMENT: Final = 4_000
_READ: Final = ("unknown-run", "invalid-request", "busy", "owner-unavailable")
_BODILY: Final = ("malformed-json", "malformed-request", "too-large", "slow-body")
_WRITE: Final = (*_READ, *_BODILY, "own-run", "conflict", "not-acknowledged")
_LISTED: Final = (Param("agent", TEXT, "only runs of this agent"), LIMIT, CURSOR)
_BODY: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"token": TEXT, "comment": TEXT},
}


class Approvals:
    """Shows open questions to people, and sends a run what somebody answered."""

    def __init__(self, deps: Deps, runs: Runs, commands: Commands) -> None:
        self._owners = deps.owners
        self._pools = {agent.pool for agent in deps.catalog.agents.values()}
        self._runs = runs
        self._commands = commands

    async def open(self, call: OperationCall) -> Response:
        """`GET /runs/{id}/approvals`: what waits for a person, the oldest first."""
        run_id = call.param("id")
        await self._runs.view(run_id)
        return answer({"approvals": open_approvals(await self._runs.entries(run_id))})

    async def all(self, call: OperationCall) -> Response:
        """`GET /approvals`: what all runs ask people, by run, the newest run first."""
        check_names(call, "agent", "limit", "cursor")
        limit = limit_of(call)
        given: dict[str, str | int | None] = {
            "agent": call.query_params.get("agent"),
            "limit": limit,
            "cursor": place_of(call),
        }
        pools = [pool for pool in self._owners.pools() if pool in self._pools] or ["default"]
        parts = await gather(self._owners, pools, "/owner/approvals", given)
        runs, more = merged(parts, "runs", order, limit, newest_first=True)
        asked = [
            {"run_id": run["run_id"], "agent": run["agent"], "started_by": run["started_by"], **one}
            for run in runs
            for one in run["approvals"]
        ]
        return answer({"approvals": asked, "next": cursor("~".join(order(runs[-1]))) if more else None})

    async def approve(self, call: OperationCall) -> Response:
        """`POST /runs/{id}/approve`, with an optional `{"token", "comment"}`."""
        return await self._answer(call, approved=True)

    async def reject(self, call: OperationCall) -> Response:
        """`POST /runs/{id}/reject`, with an optional `{"token", "comment"}`."""
        return await self._answer(call, approved=False)

    async def _answer(self, call: OperationCall, *, approved: bool) -> Response:
        run_id = call.param("id")
        check_key(call.headers.get("idempotency-key"))
        body = await optional(call, "token", "comment")
        comment, token = body.get("comment"), body.get("token")
        if comment is not None and (not isinstance(comment, str) or len(comment) > _MAX_COMMENT):
            raise wrong("comment", f"it must be a text of at most {_MAX_COMMENT} characters")
        if token is not None and not isinstance(token, str):
            raise wrong("token", "it must be a text")
        found = await self._runs.view(run_id)
        by = call.caller.name if call.caller is not None else ""
        if by and by == found.view.get("started_by"):
            raise Problem("own-run", "The key that started this run does not answer for it: another one has to.")
        asked = _asked(found, open_approvals(await self._runs.entries(run_id)), token)
        # one id for yes and no: of two people who answer at once, the first on the log is heard
        signal_id = hashed("i-", "", run_id, SIGNAL, asked["token"])
        data = {"token": asked["token"], "approved": approved, "comment": comment}
        if by:
            data["by"] = by
        event = SignalSent(run_id=run_id, signal_id=signal_id, name=SIGNAL, data=data)
        await self._commands.send(call, found, event, signal_id)
        said = {"run_id": run_id, "id": signal_id, "accepted": "approve" if approved else "reject"}
        return answer({**said, "what": asked["what"], "parameters": asked["parameters"]}, 202)


def of_approvals(approvals: Approvals) -> list[Operation]:
    """Return the endpoints for people's answers."""
    said = {"type": "object", "required": ["run_id", "id", "accepted", "what"]}
    json, key = {"application/json": _BODY}, (IDEMPOTENCY_KEY,)
    path = "/runs/{id}"
    return [
        Operation(
            "GET",
            "/approvals",
            approvals.all,
            "read",
            "What runs ask people and nobody has answered, by run, the newest first",
            {200: list_of("approvals")},
            ("invalid-request", "owner-unavailable"),
            _LISTED,
        ),
        Operation(
            "GET",
            f"{path}/approvals",
            approvals.open,
            "read",
            "What a run asks people and nobody has answered",
            {200: list_of("approvals")},
            _READ,
        ),
        Operation(
            "POST",
            f"{path}/approve",
            approvals.approve,
            "approve",
            "Say yes to what a run asks",
            {202: said},
            _WRITE,
            key,
            json,
            body_required=False,
        ),
        Operation(
            "POST",
            f"{path}/reject",
            approvals.reject,
            "approve",
            "Say no to what a run asks",
            {202: said},
            _WRITE,
            key,
            json,
            body_required=False,
        ),
    ]


def _asked(found: FoundRun, waiting: list[dict[str, Any]], token: str | None) -> dict[str, Any]:
    """Return the open question that is meant; Problem 409 where there is none, or none with that token."""
    fitting = [one for one in waiting if token is None or one["token"] == token]
    if len(fitting) == 1:
        return fitting[0]
    tokens = ", ".join(f"{one['token']} ({one['what']})" for one in waiting)
    if not waiting:
        detail = "The run asks nobody for an approval."
    elif fitting:
        detail = f"The run asks for several approvals: say which by its token: {tokens}."
    else:
        detail = f"The run does not ask with that token; it asks with {tokens}."
    raise Problem("conflict", detail[:2_000], run_id=found.view["run_id"], status_of_run=found.view["status"])
