"""What runs ask people, and their answers. One yes allows one thing, and does not come from who started the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from schemas.signal import SignalSent
from streams.contract.approvals import ApprovalAccepted, ApprovalPage, RunApprovals
from streams.engine.approvals import open_approvals
from streams.engine.entry import APPROVAL
from streams.gateway.answers import answer, answer_as
from streams.gateway.body import BODY_PROBLEMS, optional_body
from streams.gateway.ids import check_key, hashed
from streams.gateway.operation import IDEMPOTENCY_KEY, JSON, TEXT, Body, Operation, OperationCall, Param
from streams.gateway.pages import CURSOR, LIMIT, check_names, cursor, gather, limit_of, merged
from streams.gateway.problem import (
    CONFLICT,
    INVALID_REQUEST,
    NOT_FOUND,
    OWNER_UNAVAILABLE,
    ProblemType,
    invalid_request,
)
from streams.gateway.run_list import cursor_position, order
from streams.gateway.runs import READ_PROBLEMS
from streams.gateway.write import WRITE_PROBLEMS

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.gateway.commands import Commands
    from streams.gateway.deps import Deps
    from streams.gateway.runs import FoundRun, Runs

OWN_RUN: Final = ProblemType("own-run", 403, "Who started a run does not approve it")

_MAX_COMMENT: Final = 4_000
_BODY: Final[Body] = {
    JSON: {
        "type": "object",
        "additionalProperties": False,
        "properties": {"token": TEXT, "comment": TEXT},
    }
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
        return answer_as(RunApprovals, {"approvals": open_approvals(await self._runs.entries(run_id))})

    async def all(self, call: OperationCall) -> Response:
        """`GET /approvals`: what all runs ask people, by run, the newest run first."""
        check_names(call, "agent", "limit", "cursor")
        limit = limit_of(call)
        given: dict[str, str | int | None] = {
            "agent": call.query_params.get("agent"),
            "limit": limit,
            "cursor": cursor_position(call),
        }
        pools = [pool for pool in self._owners.pools() if pool in self._pools] or ["default"]
        parts = await gather(self._owners, pools, "/owner/approvals", given)
        runs, more = merged(parts, "runs", order, limit, newest_first=True)
        asked = [
            {"run_id": run["run_id"], "agent": run["agent"], "started_by": run["started_by"], **one}
            for run in runs
            for one in run["approvals"]
        ]
        return answer_as(
            ApprovalPage, {"approvals": asked, "next": cursor("~".join(order(runs[-1]))) if more else None}
        )

    async def approve(self, call: OperationCall) -> Response:
        """`POST /runs/{id}/approve`, with an optional `{"token", "comment"}`."""
        return await self._answer(call, approved=True)

    async def reject(self, call: OperationCall) -> Response:
        """`POST /runs/{id}/reject`, with an optional `{"token", "comment"}`."""
        return await self._answer(call, approved=False)

    async def _answer(self, call: OperationCall, *, approved: bool) -> Response:
        run_id = call.param("id")
        check_key(call.headers.get("idempotency-key"))
        body = await optional_body(call, "token", "comment")
        comment, token = body.get("comment"), body.get("token")
        if comment is not None and (not isinstance(comment, str) or len(comment) > _MAX_COMMENT):
            raise invalid_request("comment", f"it must be a text of at most {_MAX_COMMENT} characters")
        if token is not None and not isinstance(token, str):
            raise invalid_request("token", "it must be a text")
        found = await self._runs.view(run_id)
        by = call.caller_name
        if by and by == found.view.get("started_by"):
            raise OWN_RUN("The key that started this run does not answer for it: another one has to.")
        asked = _asked(found, open_approvals(await self._runs.entries(run_id)), token)
        # one id for yes and no: of two people who answer at once, the first on the log counts
        signal_id = hashed("i-", "", run_id, APPROVAL, asked["token"])
        data = {"token": asked["token"], "approved": approved, "comment": comment}
        if by:
            data["by"] = by
        event = SignalSent(run_id=run_id, signal_id=signal_id, name=APPROVAL, data=data)
        await self._commands.send(call, found, event, signal_id)
        accepted = ApprovalAccepted(
            run_id=run_id,
            id=signal_id,
            accepted="approve" if approved else "reject",
            what=asked["what"],
            parameters=asked["parameters"],
        )
        return answer(accepted, 202)

    def operations(self) -> list[Operation]:
        """Return the operations on approvals."""
        path = "/runs/{id}"
        return [
            Operation(
                "GET",
                "/approvals",
                self.all,
                "read",
                "What runs ask people and nobody has answered, by run, the newest first",
                {200: ApprovalPage},
                (INVALID_REQUEST, NOT_FOUND, OWNER_UNAVAILABLE),
                (Param("agent", TEXT, "only runs of this agent"), LIMIT, CURSOR),
            ),
            Operation(
                "GET",
                f"{path}/approvals",
                self.open,
                "read",
                "What a run asks people and nobody has answered",
                {200: RunApprovals},
                READ_PROBLEMS,
            ),
            *(
                Operation(
                    "POST",
                    f"{path}/{verb}",
                    handler,
                    "approve",
                    summary,
                    {202: ApprovalAccepted},
                    (*READ_PROBLEMS, *BODY_PROBLEMS, INVALID_REQUEST, OWN_RUN, CONFLICT, *WRITE_PROBLEMS),
                    (IDEMPOTENCY_KEY,),
                    _BODY,
                    body_required=False,
                )
                for verb, handler, summary in (
                    ("approve", self.approve, "Say yes to what a run asks"),
                    ("reject", self.reject, "Say no to what a run asks"),
                )
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
    raise CONFLICT(detail[:2_000], run_id=found.view["run_id"], status_of_run=found.view["status"])
