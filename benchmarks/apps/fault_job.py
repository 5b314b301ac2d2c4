"""A job with one effect on the outside, which leaves a trace there: what a kill does to it can be counted."""

from __future__ import annotations

import asyncio
import os

from pydantic import BaseModel

from streams import Run, agent


class Job(BaseModel):
    """A job and the file of its traces."""

    name: str
    trace: str


async def effect(name: str, trace: str) -> None:
    """Leave a trace, then take as long as a quick call of somebody else's service."""
    handle = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{name}\n".encode())
    finally:
        os.close(handle)
    await asyncio.sleep(0.02)


@agent(concurrency=8)
async def fault_job(task: Job, run: Run) -> str:
    """Do it once."""
    await run.step(effect, task.name, task.trace)
    return task.name
