"""A run that tells where it ran."""

from __future__ import annotations

import asyncio
import os

from pydantic import BaseModel

from streams import Run, agent


class Work(BaseModel):
    """How long it takes, in seconds."""

    seconds: float


async def act(seconds: float) -> int:
    """Take so long; return the process."""
    await asyncio.sleep(seconds)
    return os.getpid()


@agent
async def placed(task: Work, run: Run) -> int:
    """Do one step; return the process that did it."""
    return await run.step(act, task.seconds)
