"""Decides what follows for agents from a change around them, and publishes it."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import BaseModel

from schemas.bus import AgentAdapted
from streams import Run, agent, minutes
from streams.agents.planner import Line
from streams.model.prompts import Prompt

ADAPT = Prompt.beside(__file__, "adapt")
SHOWN = 1_000  # characters of each side that the model sees


class Change(BaseModel):
    """What changed: `about` is a part of the environment or a user, `after` what holds now."""

    about: str
    before: Any = None
    after: Any = None


class Adaptation(BaseModel):
    """What agents should do differently."""

    change: Line


@agent(concurrency=20, deadline=minutes(10))
async def adaptation(change: Change, run: Run) -> Adaptation:
    """Decide what a change means for agents and publish `agent_adapted`."""
    context = [f"Changed: {change.about}", f"Before: {_shown(change.before)}", f"Now: {_shown(change.after)}"]
    found = await run.llm(ADAPT, "\n".join(context), returns=Adaptation, temperature=0, max_tokens=200)
    data = change.model_dump(mode="json")
    await run.emit(AgentAdapted(agent="adaptation", run_id=run.id, change=found.change, data=data))
    return found


def _shown(value: Any) -> str:
    return "unknown" if value is None else orjson.dumps(value).decode()[:SHOWN]
