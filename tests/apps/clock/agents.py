"""Runs that last or wait, so that slots overlap and clocks can be set meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel

from streams import Breaker, Budget, Retry, RetryPolicy, Run, agent, tool
from streams.clock import monotonic

PATIENT = RetryPolicy(attempts=30, first=0.2, cap=0.5)


class Nap(BaseModel):
    """How long to sleep, in seconds."""

    seconds: float


class Errand(BaseModel):
    """Where a tool tells of its calls, and how long to wait, in seconds."""

    folder: str
    seconds: float = 0.0


def told(folder: str, name: str) -> int:
    """Append a line with the seconds of the machine's monotonic clock; return which line it is, from 1."""
    handle = os.open(Path(folder) / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{monotonic()}\n".encode())
    finally:
        os.close(handle)
    return len((Path(folder) / name).read_text("ascii").splitlines())


@agent
async def napper(nap: Nap, run: Run) -> float:
    """Sleep."""
    await run.sleep(nap.seconds)
    return nap.seconds


@agent
async def stumbler(errand: Errand, run: Run) -> str:
    """Do a step that asks to be called again once, so many seconds later."""

    def act() -> str:
        if told(errand.folder, f"stumbler-{run.id}") == 1:
            raise Retry(after=errand.seconds)
        return "done"

    return await run.step(act)


@tool(rate="3/3s", retry=PATIENT)
async def paced(folder: str) -> str:
    """Tell when it was called."""
    told(folder, "paced")
    return "done"


@agent
async def pacer(errand: Errand, run: Run) -> str:
    """Call the tool with a rate."""
    return await run.tool(paced, folder=errand.folder)


@tool(breaker=Breaker(failures=1, cooldown=3.0), retry=PATIENT)
async def brittle(folder: str) -> str:
    """Fail at every other call, which opens the breaker."""
    if told(folder, "brittle") % 2:
        raise RuntimeError("down")
    return "up"


@agent
async def knocker(errand: Errand, run: Run) -> str:
    """Call the tool with a breaker, which waits while that is open."""
    return await run.tool(brittle, folder=errand.folder)


@agent
async def doomed(nap: Nap, run: Run) -> None:
    """Fail."""
    raise ValueError(f"this agent has a defect, {nap.seconds}")


@agent(budget=Budget(tokens=1))
async def frugal(nap: Nap, run: Run) -> str:
    """Ask for more than there is."""
    return await run.llm(f"{nap.seconds}?", max_tokens=50)


@agent(pool="away")
async def parcel(nap: Nap, run: Run) -> float:
    """Wait for a worker of a pool that has none."""
    return nap.seconds
