"""The reaction to what is noted."""

from __future__ import annotations

from typing import Any

from streams import RetryPolicy, StartRun, on
from tests.apps.simulated.agents import Task, work
from tests.apps.simulated.events import Answered, Noted


@on(Noted, retry=RetryPolicy(attempts=50, first=0.2, cap=2.0))
async def answer(event: Noted) -> Any:
    """Say something of each event, and start a run for some."""
    said = Answered(name=event.name, amount=event.amount)
    return [said, StartRun(work, Task(name=f"{event.name}-started", steps=1))] if event.start else said
