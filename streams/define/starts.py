"""`StartRun`: the value with which reactions, sources and schedules ask for a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.run import RUN_ID
from streams.define.agents import PRIORITIES, Agent, Priority
from streams.define.options import duration, known_fields, pause
from streams.define.policies import Reject


@known_fields
@dataclass(frozen=True, slots=True)
class StartRun:
    """A run to be started; without `run_id` its id is derived from what caused it, so that it starts once.

    `not_before` is an aware datetime or seconds from now; `deadline` is in seconds from the submission.
    """

    agent: Agent[Any, Any]
    input: Any = None
    run_id: str | None = None
    priority: Priority | None = None
    not_before: datetime | float | None = None
    deadline: float | None = None
    idempotency_key: str | None = None

    def __post_init__(self) -> None:
        """Check what a request over HTTP is checked for; raises Reject, since another attempt would do the same."""
        wrong = self._wrong()
        if wrong is not None:
            raise Reject(f"StartRun({getattr(self.agent, 'name', self.agent)!r}, …): {wrong}")

    def _wrong(self) -> str | None:
        if not isinstance(self.agent, Agent):
            return f"{self.agent!r} is no agent: give the function that is decorated with @agent"
        if self.run_id is not None and not (isinstance(self.run_id, str) and RUN_ID.fullmatch(self.run_id)):
            return (
                f"run_id={self.run_id!r} is no run id: write at most 128 of letters, digits and ._:@~+- (no slash), "
                "the first a letter or digit; or leave it out"
            )
        if self.priority is not None and self.priority not in PRIORITIES:
            return f"priority={self.priority!r} is none of {', '.join(PRIORITIES)}"
        if isinstance(self.not_before, datetime):
            return None if self.not_before.tzinfo else f"not_before={self.not_before!r} has no time zone"
        if self.not_before is not None and pause(self.not_before) is not None:
            return f"not_before={self.not_before!r} is no aware datetime and no number of seconds from now"
        if self.deadline is not None and duration(self.deadline) is not None:
            return f"deadline={self.deadline!r} is no number of seconds above 0"
        if self.idempotency_key is not None and not isinstance(self.idempotency_key, str):
            return f"idempotency_key={self.idempotency_key!r} is no text"
        return None
