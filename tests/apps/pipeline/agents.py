"""Agents whose every outside effect leaves a line in a file, under its idempotency key."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from threading import Event

from pydantic import BaseModel

from streams import RetryPolicy, Run, agent
from tests.apps.pipeline.events import Approval, Counted

ONCE = RetryPolicy(attempts=1)


class Task(BaseModel):
    """Where the lines go, how many steps there are, and how long to wait in between, in seconds."""

    folder: str
    steps: int = 2
    seconds: float = 0.0


class Done(BaseModel):
    """How many steps were done."""

    steps: int


def leave_trace(folder: str, key: str) -> None:
    """Append one line in one write, so that lines of several processes never mix and survive a kill of ours."""
    handle = os.open(Path(folder) / "effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{key}\n".encode())
    finally:
        os.close(handle)


@agent
async def work(task: Task, run: Run) -> Done:
    """Do steps one after the other."""

    async def act(number: int) -> int:
        leave_trace(task.folder, run.idempotency_key)
        return number

    for number in range(task.steps):
        await run.step(act, number)
    return Done(steps=task.steps)


@agent(concurrency=1)
async def single(task: Task, run: Run) -> Done:
    """Do the same, one run at a time."""

    async def act(number: int) -> int:
        leave_trace(task.folder, run.idempotency_key)
        return number

    for number in range(task.steps):
        await run.step(act, number)
    return Done(steps=task.steps)


@agent
async def sleeper(task: Task, run: Run) -> Done:
    """Do a step, sleep, do another."""

    def act(number: int) -> int:
        leave_trace(task.folder, run.idempotency_key)
        return number

    await run.step(act, 0)
    await run.sleep(task.seconds)
    await run.step(act, 1)
    return Done(steps=2)


@agent
async def waiter(task: Task, run: Run) -> Approval:
    """Do a step and wait for an approval."""

    def act() -> None:
        leave_trace(task.folder, run.idempotency_key)

    await run.step(act)
    return await run.wait_for(Approval)


@agent
async def fragile(task: Task, run: Run) -> Done:
    """Do a step, then one that fails until the file `mended` is there."""

    def act() -> None:
        leave_trace(task.folder, run.idempotency_key)

    def depend() -> None:
        if not (Path(task.folder) / "mended").exists():
            raise RuntimeError("the dependency is down")

    await run.step(act)
    await run.step(depend, retry=ONCE)
    return Done(steps=2)


@agent(auto_resume=1, after=3.0)
async def mending(task: Task, run: Run) -> Done:
    """Fail until the file `mended` is there, and try once more by itself."""

    def depend() -> None:
        if not (Path(task.folder) / "mended").exists():
            raise RuntimeError("the dependency is down")

    await run.step(depend, retry=ONCE)
    return Done(steps=1)


@agent
async def teller(task: Task, run: Run) -> Done:
    """Publish one event for each step."""
    for number in range(task.steps):
        await run.emit(Counted(name=f"{run.id}-{number}", then="nothing"))
    return Done(steps=task.steps)


@agent
async def caller(task: Task, run: Run) -> Done:
    """Call `work` twice."""
    first = await run.call(work, task)
    second = await run.call(work, task)
    return Done(steps=first.steps + second.steps)


class Held(Task):
    """How a step holds its worker for `seconds`: it sleeps, blocks or burns in its thread, or hogs the event loop."""

    how: str = "sleep"


def hold(how: str, seconds: float) -> None:
    """Block this thread, or burn the processor with it."""
    if how != "burn":
        Event().wait(seconds)
        return
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


@agent
async def slow(task: Held, run: Run) -> Done:
    """Do one step that takes long."""

    def block() -> None:
        leave_trace(task.folder, run.idempotency_key)
        hold(task.how, task.seconds)

    async def rest() -> None:
        leave_trace(task.folder, run.idempotency_key)
        await asyncio.sleep(task.seconds)

    async def hog() -> None:
        leave_trace(task.folder, run.idempotency_key)
        hold("burn", task.seconds)

    how = {"sleep": rest, "hog": hog}.get(task.how, block)
    await run.step(how, retry=ONCE, name="held")
    return Done(steps=1)


class Size(BaseModel):
    """How many bytes to return, and where: as the run's result or as a step's."""

    bytes: int
    place: str = "result"


@agent
async def bulky(size: Size, run: Run) -> str:
    """Return as much as was asked for."""

    def act() -> str:
        return "x" * size.bytes

    if size.place == "step":
        await run.step(act, retry=ONCE)
        return "small"
    return "x" * size.bytes
