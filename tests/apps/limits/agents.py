"""Each agent runs into one kind of limit; what happened, and when, is in files that all workers share."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from pydantic import BaseModel

from streams import Breaker, RetryPolicy, Run, agent, tool
from streams.clock import now_ms
from streams.tools._inner import inner

PATIENT = RetryPolicy(attempts=30, first=0.2, cap=0.5)
COOLDOWN_S = 8.0  # long enough for ten runs to find the breaker open on a busy machine


class Task(BaseModel):
    """Where the lines go, and how long a call takes, in seconds."""

    folder: str
    seconds: float = 0.0


def line(folder: str, name: str, word: str = "call") -> None:
    """Append one line with the time in milliseconds, in one write."""
    handle = os.open(Path(folder) / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{now_ms()} {os.getpid()} {word}\n".encode())
    finally:
        os.close(handle)


@tool(rate="30/10s", retry=PATIENT)
async def paced(folder: str) -> str:
    """Tell when it was called."""
    line(folder, "paced")
    return "done"


@agent
async def pacer(task: Task, run: Run) -> str:
    """Call the tool once."""
    return await run.tool(paced, folder=task.folder)


@tool(rate="20/5s", retry=PATIENT)
async def brisk(folder: str) -> str:
    """Tell when it was called; its window is short enough to see several while a worker dies."""
    line(folder, "brisk")
    return "done"


@agent
async def brisker(task: Task, run: Run) -> str:
    """Call the tool once."""
    return await run.tool(brisk, folder=task.folder)


@tool(rate="4/1s", retry=PATIENT)
def quick(folder: str) -> str:
    """Tell when it was called; the window is short enough to be recorded nowhere."""
    line(folder, "quick")
    return "done"


@agent
async def quicker(task: Task, run: Run) -> str:
    """Call the tool once."""
    return await run.tool(quick, folder=task.folder)


@tool(cache=60.0, timeout=10, retry=PATIENT)
async def shared(folder: str, seconds: float) -> str:
    """Take a while, and tell when."""
    line(folder, "shared")
    await asyncio.sleep(seconds)
    return f"answer of {os.getpid()}"


@agent
async def sharer(task: Task, run: Run) -> str:
    """Call the tool once."""
    return await run.tool(shared, folder=task.folder, seconds=task.seconds)


@tool(breaker=Breaker(failures=3, cooldown=COOLDOWN_S), retry=RetryPolicy(attempts=1))
async def flaky(folder: str) -> str:
    """Fail while there is no file `up`."""
    line(folder, "flaky")
    if not (Path(folder) / "up").exists():
        raise RuntimeError("down")
    return "up"


@agent
async def knocker(task: Task, run: Run) -> str:
    """Call the tool once."""
    return await run.tool(flaky, folder=task.folder)


@tool(concurrency=3, retry=PATIENT)
async def narrow(folder: str, seconds: float) -> str:
    """Tell when it begins and when it ends."""
    line(folder, "narrow", "begin")
    await asyncio.sleep(seconds)
    line(folder, "narrow", "end")
    return "done"


@agent
async def squeezer(task: Task, run: Run) -> str:
    """Call the tool once."""
    return await run.tool(narrow, folder=task.folder, seconds=task.seconds)


@agent(concurrency=3)
async def few(task: Task, run: Run) -> str:
    """Do one step that tells when it begins and ends."""

    async def act() -> str:
        line(task.folder, "few", "begin")
        await asyncio.sleep(task.seconds)
        line(task.folder, "few", "end")
        return "done"

    return await run.step(act)


@agent(rate="10/2s")
async def starter(task: Task, run: Run) -> str:
    """Tell when it began."""

    async def act() -> str:
        line(task.folder, "starter")
        return "done"

    return await run.step(act)


@tool(rate="4/1s", retry=PATIENT)
async def deep(folder: str, number: int) -> int:
    """Tell when it was called by another tool."""
    line(folder, "deep")
    return number


@tool(cache=60.0, timeout=10, retry=PATIENT)
async def deep_shared(folder: str) -> str:
    """Take a while and tell when, called by another tool."""
    line(folder, "deep-shared")
    await asyncio.sleep(0.2)
    return "answer"


@tool(timeout=120)
async def outer(folder: str, calls: int) -> int:
    """Call a limited tool many times and a cached one a few times."""
    many = [inner(deep, folder=folder, number=number) for number in range(calls)]
    await asyncio.gather(*many, *(inner(deep_shared, folder=folder) for _ in range(3)))
    return calls


@agent
async def nester(task: Task, run: Run) -> int:
    """Call the tool that calls."""
    return await run.tool(outer, folder=task.folder, calls=6)


@tool(cache=600.0, timeout=60, retry=PATIENT)
async def slowly_shared(folder: str, seconds: float) -> str:
    """Take a while, and tell when; its time-out is long, so a lease that outlived its holder would be seen."""
    line(folder, "slowly-shared")
    await asyncio.sleep(seconds)
    return f"answer of {os.getpid()}"


@agent
async def slow_sharer(task: Task, run: Run) -> str:
    """Call the tool once."""
    return await run.tool(slowly_shared, folder=task.folder, seconds=task.seconds)


@agent(concurrency=1)
async def single(task: Task, run: Run) -> str:
    """Do one step that tells when it begins and ends, one run at a time."""

    async def act() -> str:
        line(task.folder, "single", f"{run.id}")
        await asyncio.sleep(task.seconds)
        return "done"

    return await run.step(act)
