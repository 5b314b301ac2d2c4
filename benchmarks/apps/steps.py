"""Five steps that do next to nothing: what is left is the cost of durability."""

from __future__ import annotations

from pydantic import BaseModel

from streams import Run, agent


class Number(BaseModel):
    """A number to count on from."""

    value: int


async def increment(value: int) -> int:
    """Return the next number; counts as an effect on the outside."""
    return value + 1


@agent(concurrency=2000)
async def five_steps(task: Number, run: Run) -> int:
    """Run five steps with effects, one after the other: each waits for the commit of the one before."""
    value = task.value
    for _ in range(5):
        value = await run.step(increment, value)
    return value


@agent(concurrency=2000)
async def five_pure(task: Number, run: Run) -> int:
    """Run five steps without effects: none waits for a commit."""
    value = task.value
    for _ in range(5):
        value = await run.step(increment, value, pure=True)
    return value


@agent
async def many_steps(task: Number, run: Run) -> int:
    """Run as many pure steps as the number says."""
    value = 0
    for _ in range(task.value):
        value = await run.step(increment, value, pure=True)
    return value
