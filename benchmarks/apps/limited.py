"""One call of a tool with a rate, which tells when it was made: what is left is what the limit leaves."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel

from streams import Run, agent, clock, tool


class Where(BaseModel):
    """The file that the calls tell their times to."""

    path: str


@tool(rate="30/60s")
async def rated_call(path: str) -> None:
    """Append the time in milliseconds, and the process."""
    tell(path)


@tool(rate="30/6s")
async def quickly_rated_call(path: str) -> None:
    """Do the same at ten times the rate."""
    tell(path)


def tell(path: str) -> None:
    """Append a line."""
    handle = os.open(Path(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{clock.now_ms()} {os.getpid()}\n".encode())
    finally:
        os.close(handle)


@agent
async def calls_once(task: Where, run: Run) -> None:
    """Call it once."""
    await run.tool(rated_call, path=task.path)


@agent
async def calls_quickly(task: Where, run: Run) -> None:
    """Call the quick one once."""
    await run.tool(quickly_rated_call, path=task.path)
