"""A parent of many children: what is left is the cost of submitting, running and hearing of each."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from streams import Run, agent, chord


class Count(BaseModel):
    """How many children."""

    children: int


class Number(BaseModel):
    """A child's number; one that is negative fails."""

    value: int


class Outcome(BaseModel):
    """What a chord's callback gets."""

    total: int
    successful: int
    failed: int
    results: list[Any]


@agent
async def child(task: Number, run: Run) -> int:
    """Return the number."""
    del run
    if task.value < 0:
        raise ValueError(f"{task.value} is negative")
    return task.value


@agent
async def gathers(task: Count, run: Run) -> int:
    """Call all children at once; return the sum of their results."""
    return sum(await run.gather(*[child.bind(Number(value=number)) for number in range(task.children)]))


@agent
async def merges(outcome: Outcome, run: Run) -> list[int]:
    """Return total, successful, failed and the sum of the results that are numbers."""
    del run
    numbers = [result for result in outcome.results if isinstance(result, int)]
    return [outcome.total, outcome.successful, outcome.failed, sum(numbers)]


@agent
async def chords(task: Count, run: Run) -> list[int]:
    """Call all children in a chord, every thousandth of which fails."""
    members = [child.bind(Number(value=-1 if number % 1000 == 999 else number)) for number in range(task.children)]
    merged: list[int] = await run.call(chord(members, merges))
    return merged
