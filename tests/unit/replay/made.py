"""What the tests here replay: an agent with calls of every kind, and the log that running it for real leaves."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from pydantic import BaseModel

from schemas.run import RunSubmitted
from streams import RetryPolicy, Run, StepFailed, agent, tool
from streams.define.agents import Agent
from streams.model.scripted_model import ScriptedModel
from streams.replay.recordings import Recordings
from streams.replay.run_observations import Observed
from streams.replay.runs import LoggedRuns, Rerun, Submission
from streams.testing import BEGINNING_MS


class Verdict(BaseModel):
    word: str


calls: list[str] = []


@tool(retry=RetryPolicy(attempts=2, first=0.0))
def look_up(term: str) -> str:
    calls.append(term)
    if term.endswith("x"):
        raise LookupError(f"no {term}")
    return f"{term}!"


def stamp() -> str:
    calls.append("stamp")
    return f"stamp {len(calls)}"


@agent
async def summer(text: str, run: Run) -> str:
    return await run.llm("Sum it up.", text)


@agent
async def asker(text: str, run: Run) -> list[str]:
    found = await run.gather(*[run.tool(look_up, term=text + end) for end in "abx"], return_exceptions=True)
    stamped = await run.step(stamp)
    async with run.stage("JUDGE"):
        verdict = await run.llm(
            "Judge.", [str(one) for one in found if not isinstance(one, StepFailed)], returns=Verdict
        )
        again = await run.llm("Say it.", verdict.word)
    return [*map(str, found), stamped, again, await run.call(summer, again), run.now().isoformat()]


AGENTS: dict[str, Agent[Any, Any]] = {one.name: one for one in (asker, summer)}


def submissions(count: int) -> list[Submission]:
    return [
        Submission(RunSubmitted(run_id=f"run-{number}", agent="asker", input=f"q{number}"), BEGINNING_MS + number)
        for number in range(count)
    ]


def model() -> ScriptedModel:
    """Return a model that never says the same twice."""
    said = itertools.count()
    return ScriptedModel(
        always=lambda request: {"word": f"w{next(said)}"} if request.returns is not None else f"text {next(said)}"
    )


async def recorded(count: int = 1, *, name: str | None = None, kinds: str = "llm tool") -> LoggedRuns:
    """Run for real and return what is on the log then, calls of some kinds only."""
    known, made = await recorded_with_calls(count)
    recordings = Recordings((call for call in made if call["kind"] in kinds), model=name)
    return LoggedRuns(known.runs, recordings)


async def recorded_with_calls(count: int = 1) -> tuple[LoggedRuns, list[dict[str, Any]]]:
    """Run for real and return what is on the log then, and the records of all calls."""
    outside = model()
    live = Rerun(AGENTS, LoggedRuns(), "live", lambda: outside)
    runs: dict[str, Observed] = {}
    made: list[dict[str, Any]] = []
    for submission in submissions(count):
        _, world = await live.root(submission)
        runs |= {run_id: Observed(machine.journal.entries) for run_id, machine in world.machines.items()}
        made += [output.event.model_dump() for _, output in world.outputs if output.to == "calls"]
    calls.clear()
    return LoggedRuns(runs), made


def run(known: LoggedRuns, agents: dict[str, Agent[Any, Any]] | None = None, count: int = 1, **how: Any) -> list[Any]:
    """Run all again; return the pairs of reports and world."""

    async def all_again() -> list[Any]:
        rerun = Rerun(agents or AGENTS, known, **how)
        return [await rerun.root(submission) for submission in submissions(count)]

    return asyncio.run(all_again())
