"""An agent of five calls, three of a model and two of a tool, whose answers no second call would give again."""

from __future__ import annotations

import httpx
from pydantic import BaseModel

from streams import Run, agent, tool


class Case(BaseModel):
    """What a run is about, and where the tool asks."""

    number: int
    rates: str


class Verdict(BaseModel):
    """What the model decides."""

    word: str


@tool
async def rate(number: int, url: str) -> str:
    """Ask for a rate, which is another one at every moment."""
    async with httpx.AsyncClient() as client:
        return (await client.get(url, params={"number": number})).text


@agent(concurrency=64)
async def five_calls(case: Case, run: Run) -> str:
    """Look two rates up at once, judge them, and say it in two steps."""
    rates = await run.gather(*[run.tool(rate, number=case.number + more, url=case.rates) for more in (0, 1)])
    verdict = await run.llm("Judge these rates.", rates, returns=Verdict)
    plan = await run.llm("Say what follows.", verdict)
    return await run.llm("Write it down.", case.number, plan)
