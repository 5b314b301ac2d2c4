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


@tool
async def counts(number: int) -> int:
    """Say a number back."""
    return number


@agent
async def relative(task: Task, run: Run) -> int:
    """Use two calls of the budget of whoever is at the top: a model's and a tool's."""
    await run.llm(task.text)
    return await run.tool(counts, number=1)


@agent
async def between(task: Task, run: Run) -> int:
    """Let a relative do it."""
    return await run.call(relative, task)


@agent(budget_per_run=Budget(calls=5))
async def family(task: Task, run: Run) -> int:
    """Let grandchildren do it, some times; all together may make five calls."""
    return sum([await run.call(between, Task(text=f"{task.text} {number}")) for number in range(task.times)])


@agent
async def talker(task: Task, run: Run) -> int:
    """Talk on, each time with all that was said before."""
    said = [task.text]
    for _ in range(task.times):
        said.append(await run.llm("Go on.", said))
    return len(said)


@tool(breaker=Breaker())
async def shaky() -> None:
    """Do nothing."""
