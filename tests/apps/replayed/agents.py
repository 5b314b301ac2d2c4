"""An agent that makes five calls, tools and models, and calls another one."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel

from streams import RetryPolicy, Run, StepFailed, agent, tool


class Question(BaseModel):
    """What is asked, and the file that gets a line for each call of a tool."""

    text: str
    trace: str


class Verdict(BaseModel):
    """What the model decides."""

    word: str


@tool(retry=RetryPolicy(attempts=2, first=0.0))
def look_up(term: str, trace: str) -> str:
    """Leave a trace, and find something unless the term is hopeless."""
    handle = os.open(Path(trace), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{term}\n".encode())
    os.close(handle)
    if term.endswith("hopeless"):
        raise LookupError(f"nothing is known of {term}")
    return f"{term} is known ({os.getpid()})"


@agent
async def second(text: str, run: Run) -> str:
    """Ask once more."""
    return await run.llm("Sum it up.", text)


@agent
async def inquire(question: Question, run: Run) -> str:
    """Look three things up at once, ask the model, and have a second agent sum it up."""
    terms = [f"{question.text} {kind}" for kind in ("a", "b", "hopeless")]
    found = await run.gather(
        *[run.tool(look_up, term=term, trace=question.trace) for term in terms], return_exceptions=True
    )
    known = [str(one) for one in found if not isinstance(one, StepFailed)]
    stamp = await run.step(os.getpid)
    async with run.stage("JUDGING"):
        verdict = await run.llm("Judge it.", known, returns=Verdict)
    summed = await run.call(second, verdict.word)
    return f"{run.now().isoformat()} {stamp} {summed} {found[2]}"


@agent
async def assess(question: Question, run: Run) -> list[str]:
    """Look two things up and judge each: what is said of one does not depend on the other."""
    found = await run.gather(
        *[run.tool(look_up, term=f"{question.text} {kind}", trace=question.trace) for kind in "ab"]
    )
    return [*found, *[await run.llm("Judge it.", one) for one in found]]
