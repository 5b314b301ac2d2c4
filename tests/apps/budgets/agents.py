"""Each agent has one kind of budget."""

from __future__ import annotations

from pydantic import BaseModel

from streams import Breaker, Budget, Run, agent, tool


class Task(BaseModel):
    """What is asked, how often, and for whom."""

    text: str = "?"
    times: int = 1
    customer: str | None = None
    folder: str = ""


@agent(budget=Budget(calls=5))
async def frugal(task: Task, run: Run) -> str:
    """Ask; all runs together may do so five times a day."""
    return await run.llm(task.text)


@agent(budget_per_run=Budget(calls=2), concurrency_key="customer", budget_per_key=Budget(calls=3))
async def thrifty(task: Task, run: Run) -> int:
    """Ask some times; a run may do so twice, a customer three times a day."""
    for number in range(task.times):
        await run.llm(f"{task.text} {number}")
    return task.times


@agent
async def same(task: Task, run: Run) -> str:
    """Ask what others ask, too."""
    return await run.llm(task.text, cache=60)


@tool(breaker=Breaker())
async def shaky() -> None:
    """Do nothing."""
