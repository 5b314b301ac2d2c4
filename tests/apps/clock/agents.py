"""Runs that last, so that slots overlap."""

from __future__ import annotations

from pydantic import BaseModel

from streams import Run, agent


class Nap(BaseModel):
    """How long to sleep, in seconds."""

    seconds: float


@agent
async def napper(nap: Nap, run: Run) -> float:
    """Sleep."""
    await run.sleep(nap.seconds)
    return nap.seconds
