"""`StartRun`: the value with which reactions, sources and schedules ask for a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from streams.define.agents import Agent, Priority


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
