"""A run that waits for somebody: what is left is the cost of waiting."""

from __future__ import annotations

from pydantic import BaseModel

from schemas import Event
from streams import Run, agent, days


class Question(BaseModel):
    """What is waited for."""

    topic: str


class AnswerGiven(Event, type="benchmark.answer_given", key="topic"):
    """Somebody answered."""

    topic: str


@agent
async def patient(task: Question, run: Run) -> str:
    """Wait for an answer, for two days at most."""
    answer = await run.wait_for(AnswerGiven, match=lambda given: given.topic == task.topic, timeout=days(2))
    return answer.topic
