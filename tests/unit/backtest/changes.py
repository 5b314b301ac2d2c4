"""Agents with one planted change each, and the lanes over the recorded runs of `tests.unit.replay.made`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from streams import Run, StepFailed, agent
from streams.backtest.answers import CallRecordings
from streams.backtest.lanes import CandidateLane, Lanes, RecordedRuns
from streams.backtest.policies import BudgetMeter, Policies
from streams.backtest.results import RunComparison
from streams.define.agents import Agent
from streams.model.chat import ChatModel
from tests.unit.replay import made
from tests.unit.replay.made import Verdict, look_up, stamp, summer

Recorded = tuple[RecordedRuns, list[dict[str, Any]]]


def recorded(count: int) -> Recorded:
    """Run for real; return the log and the records of its calls."""
    known, calls = asyncio.run(made.recorded_with_calls(count))
    return RecordedRuns(known.runs, CallRecordings(calls)), calls


def asker(
    *, prompt: str = "Judge.", order: str = "abx", branch: Callable[[str], bool] = lambda _text: False
) -> Agent[Any, Any]:
    """Return the agent that made the runs, changed where `branch` is true for its input."""

    @agent
    async def asker(text: str, run: Run) -> list[str]:
        changed = branch(text)
        found = await run.gather(
            *[run.tool(look_up, term=text + end) for end in (order if changed else "abx")], return_exceptions=True
        )
        found.sort(key=str)  # as the original's results are: the change is in the order of the calls alone
        stamped = await run.step(stamp)
        async with run.stage("JUDGE"):
            verdict = await run.llm(
                prompt if changed else "Judge.",
                [str(one) for one in found if not isinstance(one, StepFailed)],
                returns=Verdict,
            )
            again = await run.llm("Say it.", verdict.word)
        return [*map(str, found), stamped, again, await run.call(summer, again), run.now().isoformat()]

    return asker


def compare(
    known: RecordedRuns,
    candidate: Agent[Any, Any] | None = None,
    *,
    count: int,
    policies: Policies | None = None,
    model: Callable[[], ChatModel] | None = None,
    meter: BudgetMeter | None = None,
    tries: int = 1,
) -> list[RunComparison]:
    """Run all recorded runs through the lanes."""
    agents = made.AGENTS if candidate is None else {**made.AGENTS, candidate.name: candidate}
    lane = CandidateLane(agents, policies or Policies(), model, tries)
    lanes = Lanes(known, made.AGENTS, lane, meter or BudgetMeter())

    async def all_of_them() -> list[RunComparison]:
        found = [await lanes.compare(submission) for submission in made.submissions(count)]
        return [one for one in found if one is not None]

    return asyncio.run(all_of_them())
