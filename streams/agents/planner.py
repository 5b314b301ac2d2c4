"""Turns a goal into a few steps that other agents can take."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, Field, HttpUrl

from streams import Run, agent, minutes
from streams.model.prompts import Prompt

Line = Annotated[str, Field(max_length=120)]  # a bound that small models need: they may never end a text
PLAN = Prompt.beside(__file__, "plan")
PLAN_TOKENS: Final = 1000  # the ten longest lines with a token for every second character: an answer is never cut off


class Goal(BaseModel):
    """What shall be found out, and pages that are known to help."""

    question: str = Field(min_length=1, max_length=2_000)
    urls: list[HttpUrl] = Field(default_factory=list, max_length=20)


class Plan(BaseModel):
    """The questions to answer on the way, and words to search for."""

    steps: list[Line] = Field(min_length=1, max_length=5)
    queries: list[Line] = Field(max_length=5)


@agent(concurrency=50, deadline=minutes(10))
async def planner(goal: Goal, run: Run) -> Plan:
    """Plan how to answer a question."""
    return await run.llm(PLAN, goal, returns=Plan, temperature=0, max_tokens=PLAN_TOKENS)
