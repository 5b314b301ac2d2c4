"""`POST /runs`: from a request to a record that the broker has, answered 202."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemas.attributes import new_id
from schemas.run import RunSubmitted
from streams.clock import now_ms
from streams.contract.runs import RunAccepted
from streams.gateway.answers import RUN_EXPIRED, answer_as
from streams.gateway.body import BODY_PROBLEMS, content, parse
from streams.gateway.ids import check_id, hashed
from streams.gateway.operation import IDEMPOTENCY_KEY, JSON, TEXT, Operation, OperationCall
from streams.gateway.problem import INVALID_REQUEST, invalid_request
from streams.gateway.runs import RUN_CONFLICT
from streams.gateway.submission import INVALID_INPUT, UNKNOWN_AGENT, Submissions, digest, moment, submission_id
from streams.gateway.write import WRITE_PROBLEMS, ProducedRecord, write

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.gateway.deps import Deps
    from streams.gateway.runs import Runs

PRIORITIES: Final = ("high", "default", "low")
_MEMBERS: Final = frozenset({"agent", "input", "priority", "run_id", "deadline_s", "not_before"})
_MAX_DEADLINE_S: Final = 10 * 365 * 86_400


class SubmissionBody(NamedTuple):
    """The members of a submission."""

    agent: str
    input: Any
    priority: str | None
    run_id: str | None
    deadline_s: float | None
    not_before: datetime | float | None


class RunSubmitter:
    """Takes submissions in; knows which it has just written, so that a repeat is answered without a second record."""

    def __init__(self, deps: Deps, submissions: Submissions, runs: Runs) -> None:
        self._producer = deps.producer
        self._submissions = submissions
        self._runs = runs

    async def __call__(self, call: OperationCall) -> Response:
        """Answer 202 once the submission is acknowledged."""
        key = call.idempotency_key
        asked = _asked(parse(await content(call)))
        agent = self._submissions.agent(asked.agent)
        self._submissions.check(agent.name, asked.input)
        caller = call.caller_name
        named = asked.run_id is not None or key is not None
        run_id = asked.run_id or (hashed("k-", caller, key) if key is not None else new_id())
        seal = digest(agent.name, asked.input)
        if named and await self._runs.exists(run_id, agent.pool, seal):
            return _accepted(run_id, agent.name)
        event = RunSubmitted(
            run_id=run_id,
            agent=agent.name,
            input=asked.input,
            priority=asked.priority or agent.priority,
            deadline_ms=None if asked.deadline_s is None else now_ms() + round(asked.deadline_s * 1000),
            not_before_ms=moment(asked.not_before, now_ms()),
            caller=caller or None,
            idempotency_key=key,
        )
        record = ProducedRecord(self._submissions.topic(agent.name), event, submission_id(run_id, seal))
        await write(self._producer, record, call.headers.get("traceparent"), run_id=run_id)
        self._runs.submitted(event, agent.pool, seal)
        return _accepted(run_id, agent.name)

    def operations(self) -> list[Operation]:
        """Return the operation that starts a run."""
        body = {
            "type": "object",
            "required": ["agent", "input"],
            "additionalProperties": False,
            "properties": {
                "agent": TEXT,
                "input": {"description": "what the agent takes; GET /agents has its schema"},
                "priority": {"type": "string", "enum": list(PRIORITIES)},
                "run_id": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:@~+-]{0,127}$"},
                "deadline_s": {"type": "number", "exclusiveMinimum": 0, "maximum": _MAX_DEADLINE_S},
                "not_before": {
                    "description": "when the run may begin: a time, or seconds from now",
                    "oneOf": [
                        {"type": "string", "format": "date-time"},
                        {"type": "number", "minimum": 0, "maximum": _MAX_DEADLINE_S},
                    ],
                },
            },
        }
        return [
            Operation(
                "POST",
                "/runs",
                self.__call__,
                "submit",
                "Start a run: the same run_id or Idempotency-Key again is the same run",
                {202: RunAccepted},
                (
                    *BODY_PROBLEMS,
                    UNKNOWN_AGENT,
                    RUN_CONFLICT,
                    RUN_EXPIRED,
                    INVALID_REQUEST,
                    INVALID_INPUT,
                    *WRITE_PROBLEMS,
                ),
                params=(IDEMPOTENCY_KEY,),
                body={JSON: body},
            )
        ]


def _accepted(run_id: str, agent: str) -> Response:
    members = {"run_id": run_id, "agent": agent, "status": "queued"}
    return answer_as(RunAccepted, members, 202, {"location": f"/runs/{run_id}"})


def _asked(value: object) -> SubmissionBody:
    if not isinstance(value, dict):
        raise invalid_request("body", "it must be an object")
    for name in value:
        if name not in _MEMBERS:
            raise invalid_request(name, f"it is not known; {', '.join(sorted(_MEMBERS))} are")
    agent = value.get("agent")
    if not isinstance(agent, str) or not agent:
        raise invalid_request("agent", "it must name an agent")
    priority = value.get("priority")
    if priority is not None and priority not in PRIORITIES:
        raise invalid_request("priority", f"it must be one of {', '.join(PRIORITIES)}")
    run_id = value.get("run_id")
    if run_id is not None and not isinstance(run_id, str):
        raise invalid_request("run_id", "it must be a text")
    return SubmissionBody(
        agent,
        value.get("input"),
        priority,
        None if run_id is None else check_id(run_id, "run_id"),
        _deadline(value.get("deadline_s")),
        _not_before(value.get("not_before")),
    )


def _deadline(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise invalid_request("deadline_s", "it must be a number of seconds")
    if not 0 < value <= _MAX_DEADLINE_S:
        raise invalid_request("deadline_s", "it must be more than 0 and at most ten years")
    return float(value)


def _not_before(value: object) -> datetime | float | None:
    """Return a time with its offset (RFC 3339), or seconds from now."""
    message = "it must be a time with its offset, such as 2026-01-31T12:00:00Z, or seconds from now, at most ten years"
    if value is None:
        return None
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
            late = found.tzinfo is None or found.timestamp() > now_ms() / 1000 + _MAX_DEADLINE_S
        except (ValueError, OverflowError):
            raise invalid_request("not_before", message) from None
        if late:
            raise invalid_request("not_before", message)
        return found
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_DEADLINE_S:
        raise invalid_request("not_before", message)
    return float(value)
