"""Agents that use steps, tools, a model, timers, signals, children and limits."""

from __future__ import annotations

from pydantic import BaseModel

from streams import RetryPolicy, Run, agent, tool
from streams.tools._call import IDEMPOTENCY_KEY
from tests.apps.simulated.effects import LOG
from tests.apps.simulated.events import Approval, Noted

PATIENT = RetryPolicy(attempts=50, first=0.2, cap=2.0)


class Task(BaseModel):
    """What a run is about; `note` makes it say an event."""

    name: str
    steps: int = 2
    seconds: float = 0.0
    note: bool = False


class Done(BaseModel):
    """How many steps were done, and what the model said."""

    steps: int
    said: str = ""


def _key() -> str:
    return IDEMPOTENCY_KEY.get() or ""


@tool(concurrency=2, retry=PATIENT)
async def narrow(name: str) -> str:
    """Do something that at most two may do at a time."""
    await LOG.perform("narrow", _key(), name)
    return f"narrow {name}"


@tool(rate="5/10s", retry=PATIENT)
async def paced(name: str) -> str:
    """Do something that may begin at most five times in ten seconds."""
    await LOG.perform("paced", _key(), name)
    return f"paced {name}"


@tool(retry=PATIENT)
def plain(name: str) -> str:
    """Do something in a thread."""
    LOG.end(LOG.begin("plain", _key(), name))
    return f"plain {name}"


@agent
async def work(task: Task, run: Run) -> Done:
    """Do steps, call tools, ask the model, sleep, and say so."""

    async def act(number: int, before: list[int]) -> int:
        await LOG.perform("step", run.idempotency_key, (task.name, number, before))
        return number

    done: list[int] = []
    for number in range(task.steps):
        done.append(await run.step(act, number, list(done), retry=PATIENT))
    await run.tool(plain, name=task.name)
    await run.tool(narrow, name=task.name)
    said = await run.llm(f"Say {task.name}")
    if task.seconds:
        await run.sleep(task.seconds)
    await run.tool(paced, name=task.name)
    if task.note:
        await run.emit(Noted(name=task.name, amount=task.steps))
    return Done(steps=task.steps, said=str(said))


@agent
async def waiter(task: Task, run: Run) -> Done:
    """Do a step, wait for an approval, do another."""

    async def act(number: int) -> int:
        await LOG.perform("step", run.idempotency_key, (task.name, number))
        return number

    await run.step(act, 0, retry=PATIENT)
    approval = await run.wait_for(Approval)
    await run.step(act, 1, retry=PATIENT)
    return Done(steps=2, said=approval.name)


@agent
async def parent(task: Task, run: Run) -> Done:
    """Call a child, and do a step with what it did."""
    child = await run.call(work, task.model_copy(update={"name": f"{task.name}-child"}))

    async def act(number: int) -> int:
        await LOG.perform("step", run.idempotency_key, (task.name, number))
        return number

    await run.step(act, child.steps, retry=PATIENT)
    return Done(steps=child.steps + 1)


@agent(concurrency=2)
async def few(task: Task, run: Run) -> Done:
    """Do steps; at most two such runs execute at a time over all workers."""

    async def act(number: int) -> int:
        await LOG.perform("few", run.idempotency_key, (task.name, number))
        return number

    for number in range(task.steps):
        await run.step(act, number, retry=PATIENT)
    return Done(steps=task.steps)
