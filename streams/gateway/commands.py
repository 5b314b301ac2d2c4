"""Commands to a run that exists: cancel, resume, signal, fork. Each is a record on `signals` under the run's key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from schemas.attributes import new_id
from schemas.run import CLOSED, OVER
from schemas.signal import CancelRequested, ForkRequested, ResumeRequested, SignalSent
from streams.contract.runs import ForkAccepted, RunCommandAccepted
from streams.engine.entry import APPROVAL
from streams.engine.fork import misfit
from streams.gateway.access import FORBIDDEN
from streams.gateway.answers import answer
from streams.gateway.body import BODY_PROBLEMS, content, optional_body, parse
from streams.gateway.event_from_json import UNKNOWN_EVENT_TYPE, typed_event
from streams.gateway.ids import hashed
from streams.gateway.operation import IDEMPOTENCY_KEY, JSON, NO_MEMBERS, TEXT, Body, Operation
from streams.gateway.problem import CONFLICT, INVALID_REQUEST, Problem, invalid_request
from streams.gateway.runs import READ_PROBLEMS
from streams.gateway.write import WRITE_PROBLEMS, send_signal

if TYPE_CHECKING:
    from starlette.responses import Response

    from schemas import Event
    from streams.gateway.deps import Deps
    from streams.gateway.operation import OperationCall
    from streams.gateway.runs import FoundRun, Runs

_GONE: Final = frozenset({"expired"})
_MAX_REASON: Final = 1_000
_PROBLEMS: Final = (*READ_PROBLEMS, *BODY_PROBLEMS, INVALID_REQUEST, CONFLICT, *WRITE_PROBLEMS)
_REASON: Final[Body] = {JSON: {"type": "object", "properties": {"reason": TEXT}, "additionalProperties": False}}
_FORK: Final[Body] = {
    JSON: {
        "type": "object",
        "required": ["at"],
        "additionalProperties": False,
        "properties": {"at": {"type": ["string", "integer"]}, "edits": {"type": ["object", "null"]}},
    }
}


class Commands:
    """Checks that the run's state allows a command, then writes it; the owner decides again when it reads it."""

    def __init__(self, deps: Deps, runs: Runs) -> None:
        self._deps = deps
        self._runs = runs

    async def cancel(self, call: OperationCall) -> Response:
        """`POST /runs/{id}/cancel`, with an optional `{"reason"}`."""
        run_id, request_id = call.param("id"), call.request_id(call.param("id"), "cancel")
        body = await optional_body(call, "reason")
        reason = body.get("reason")
        if reason is not None and (not isinstance(reason, str) or len(reason) > _MAX_REASON):
            raise invalid_request("reason", f"it must be a text of at most {_MAX_REASON} characters")
        found = await self._runs.view(run_id)
        _check_state(found, OVER, "cancelled")
        await self.send(call, found, CancelRequested(run_id=run_id, request_id=request_id, reason=reason), request_id)
        return answer(RunCommandAccepted(run_id=run_id, id=request_id, accepted="cancel"), 202)

    async def resume(self, call: OperationCall) -> Response:
        """`POST /runs/{id}/resume`: only a failed run can go on."""
        run_id, request_id = call.param("id"), call.request_id(call.param("id"), "resume")
        await optional_body(call)
        found = await self._runs.view(run_id)
        if found.view["status"] != "failed":
            raise _conflict(found, "only a failed run can be resumed")
        ending = found.view.get("endings")
        event = ResumeRequested(
            run_id=run_id, request_id=request_id, ending=ending if isinstance(ending, int) else None
        )
        await self.send(call, found, event, request_id, {} if event.ending is None else {"ending": str(event.ending)})
        return answer(RunCommandAccepted(run_id=run_id, id=request_id, accepted="resume"), 202)

    async def signal(self, call: OperationCall) -> Response:
        """`POST /runs/{id}/signals/{name}`: the body is the data of the event that the run waits for.

        A name that is no event's type is taken only while the run waits for it: nothing else says that it is meant.
        """
        run_id, name = call.param("id"), call.param("name")
        if name == APPROVAL:
            raise FORBIDDEN("An approval is no signal: use /approve or /reject, with a key of scope 'approve'.")
        signal_id = call.request_id(call.param("id"), "signal", name)
        data = parse(await content(call))
        if name in self._deps.catalog.events:
            typed_event(self._deps.catalog.events, name, data, "")
        found = await self._runs.view(run_id)
        _check_state(found, CLOSED, "signalled")
        if name not in self._deps.catalog.events and not await self._waits_for(run_id, name):
            typed_event(self._deps.catalog.events, name, data, "")
        event = SignalSent(run_id=run_id, signal_id=signal_id, name=name, data=data)
        await self.send(call, found, event, signal_id)
        return answer(RunCommandAccepted(run_id=run_id, id=signal_id, accepted="signal"), 202)

    async def _waits_for(self, run_id: str, name: str) -> bool:
        """Return whether the run waits for a signal with this name, which need not be an event's type."""
        entries = {entry["path"]: entry for entry in await self._runs.entries(run_id)}.values()
        return any(
            entry.get("kind") == "wait" and entry.get("name") == name and entry.get("status") == "scheduled"
            for entry in entries
        )

    async def fork(self, call: OperationCall) -> Response:
        """`POST /runs/{id}/fork`: a new run that shares the journal up to `at`, answers edited."""
        run_id = call.param("id")
        key = call.idempotency_key
        body = parse(await content(call))
        at, edits = _fork_body(body)
        found = await self._runs.view(run_id)
        _check_state(found, _GONE, "forked")
        entries = await self._runs.entries(run_id)
        if (why := misfit(entries, at, edits)) is not None:
            raise invalid_request(*why)
        caller = call.caller_name
        new_run_id = hashed("f-", caller, run_id, key) if key is not None else new_id()
        event = ForkRequested(run_id=run_id, new_run_id=new_run_id, at=at, edits=edits or None, caller=caller or None)
        await self.send(call, found, event, f"{new_run_id}/fork")
        self._runs.forked(new_run_id, found)
        accepted = ForkAccepted(run_id=new_run_id, forked_from=run_id)
        return answer(accepted, 202, {"location": f"/runs/{new_run_id}"})

    async def send(
        self, call: OperationCall, found: FoundRun, event: Event, record_id: str, headers: dict[str, str] | None = None
    ) -> None:
        """Write a command where the run's owner reads it; Problem 503 while the broker does not acknowledge."""
        agent = str(found.view["agent"])
        await send_signal(self._deps, call, event, record_id, agent=agent, pool=found.pool, **(headers or {}))

    def operations(self) -> list[Operation]:
        """Return the operations that change a run."""
        key = (IDEMPOTENCY_KEY,)
        accepted = {202: RunCommandAccepted}
        return [
            Operation(
                "POST",
                "/runs/{id}/cancel",
                self.cancel,
                "submit",
                "Cancel",
                accepted,
                _PROBLEMS,
                key,
                _REASON,
                body_required=False,
            ),
            Operation(
                "POST",
                "/runs/{id}/resume",
                self.resume,
                "submit",
                "Go on from the failed step",
                accepted,
                _PROBLEMS,
                key,
                NO_MEMBERS,
                body_required=False,
            ),
            Operation(
                "POST",
                "/runs/{id}/signals/{name}",
                self.signal,
                "submit",
                "Send the event that a run waits for",
                accepted,
                (*_PROBLEMS, UNKNOWN_EVENT_TYPE),
                key,
                {JSON: {}},
            ),
            Operation(
                "POST",
                "/runs/{id}/fork",
                self.fork,
                "submit",
                "A new run from a step of this one",
                {202: ForkAccepted},
                _PROBLEMS,
                key,
                _FORK,
            ),
        ]


def _check_state(found: FoundRun, closed: frozenset[str], verb: str) -> None:
    status = found.view["status"]
    if status in closed:
        raise _conflict(found, f"a run that {'was' if status == 'cancelled' else 'has'} {status} cannot be {verb}")


def _conflict(found: FoundRun, detail: str) -> Problem:
    status = found.view["status"]
    return CONFLICT(f"The run is {status}: {detail}.", run_id=found.view["run_id"], status_of_run=status)


def _fork_body(body: object) -> tuple[str, dict[str, Any]]:
    if not isinstance(body, dict):
        raise invalid_request("body", "it must be an object")
    for name in body:
        if name not in {"at", "edits"}:
            raise invalid_request(name, "it is not known; at and edits are")
    at = body.get("at")
    if isinstance(at, bool) or not isinstance(at, str | int) or at == "":
        raise invalid_request("at", "it must be a seq of the journal or the name of a step")
    edits = body.get("edits")
    if edits is not None and not isinstance(edits, dict):
        raise invalid_request("edits", "it must be an object from steps to answers")
    return str(at), edits or {}
