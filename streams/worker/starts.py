"""The submission that a `StartRun` of a reaction or schedule asks for."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from schemas.run import RunSubmitted
from streams.engine.jsonable import adapter

if TYPE_CHECKING:
    from streams.define.starts import StartRun


def submission(start: StartRun, run_id: str, now_ms: int) -> RunSubmitted:
    """Return the record for the agent's queue; raises pydantic's ValidationError when the input is not of its type."""
    agent = start.agent
    checker = adapter(agent.input_type)
    return RunSubmitted(
        run_id=run_id,
        agent=agent.name,
        input=checker.dump_python(checker.validate_python(start.input), mode="json", by_alias=True),
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
