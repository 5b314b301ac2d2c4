"""What a reaction returned, as records: live and in a replay the same, with ids derived from the event's."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from schemas import Event
from schemas.run import RunSubmitted
from streams.define.policies import Reject
from streams.define.starts import StartRun
from streams.engine.decision import Output
from streams.engine.ids import started_id
from streams.engine.jsonable import checked_to_json

if TYPE_CHECKING:
    from collections.abc import Sequence


def listed(made: Any) -> list[Any]:
    """Return what a reaction returned as a list; raises Reject for what is neither an event nor a StartRun."""
    if made is None:
        return []
    outputs = list(made) if isinstance(made, list | tuple) else [made]
    for output in outputs:
        if not isinstance(output, StartRun | Event):
            raise Reject(f"it returned a {type(output).__name__}: return events, StartRun or None")
    return outputs


def outputs_of(cause: str, name: str, made: Sequence[Any], now_ms: int) -> list[Output]:
    """Return the records that reaction `name` makes of the event with id `cause`.

    Raises pydantic's ValidationError when the input of a StartRun is not of its agent's type.
    """
    outputs = []
    for index, one in enumerate(made):
        if isinstance(one, StartRun):
            run_id = one.run_id or started_id(cause, name, index)
            event = submission(one, run_id, now_ms)
            outputs.append(
                Output("agents", event, f"{run_id}/submitted/0", run_id, one.agent.name, one.agent.pool),
            )
        else:
            outputs.append(Output("events", one, f"{cause}/{name}/{index}", one.key_text() or ""))
    return outputs


def submission(start: StartRun, run_id: str, now_ms: int) -> RunSubmitted:
    """Return the record for the agent's queue; raises pydantic's ValidationError when the input is not of its type."""
    agent = start.agent
    return RunSubmitted(
        run_id=run_id,
        agent=agent.name,
        input=checked_to_json(start.input, agent.input_type),
        priority=start.priority or agent.priority,
        deadline_ms=None if start.deadline is None else now_ms + int(start.deadline * 1000),
        not_before_ms=_moment(start.not_before, now_ms),
        idempotency_key=start.idempotency_key,
    )


def _moment(value: datetime | float | None, now_ms: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    return now_ms + int(value * 1000)
