"""Reads a draft against what it rests on, so that a second pair of eyes sees every report."""

from __future__ import annotations

from pydantic import BaseModel, Field

from streams import Run, agent, minutes
from streams.agents.planner import Line
from streams.model.prompts import Prompt

REVIEW = Prompt.beside(__file__, "review")
SHOWN = 1_500  # characters of each source


class Draft(BaseModel):
    """A text and the sources that it shall rest on."""

    text: str
    sources: list[str] = Field(default_factory=list, max_length=20)


class Review(BaseModel):
    """Whether the text may go out, and what is wrong with it."""

    approved: bool
    risky: bool
    problems: list[Line] = Field(max_length=5)


@agent(concurrency=50, deadline=minutes(10))
async def reviewer(draft: Draft, run: Run) -> Review:
    """Check a draft against its sources."""
    sources = [source[:SHOWN] for source in draft.sources]
    return await run.llm(REVIEW, *sources, f"Draft:\n{draft.text}", returns=Review, temperature=0, max_tokens=700)
