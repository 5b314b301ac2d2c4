"""A run that asks the model once: what is left is the cost of waiting for its answer."""

from __future__ import annotations

from pydantic import BaseModel

from streams import Run, agent


class Asked(BaseModel):
    """What the model is asked."""

    question: str


@agent
async def asks(task: Asked, run: Run) -> int:
    """Ask, and return how long the answer is."""
    return len(await run.llm("Answer.", task.question))
