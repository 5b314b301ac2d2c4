"""Proves a change on a thousand recorded runs, in memory and with the network cut, and measures how fast.

`uv run python -m benchmarks.backtest` makes runs of five calls and a child for real (each call takes as long as
`--latency` says), then runs a backtest for each of four changes that are planted in some of them: another prompt,
another answer of the model, another order of tools, another branch of the code. Each must be found in exactly those.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import socket
import time
from collections.abc import Callable
from typing import Any

from schemas.run import RunSubmitted
from streams import Run, agent, tool
from streams.backtest.answers import CallRecordings
from streams.backtest.lanes import CandidateLane, Lanes, RecordedRuns
from streams.backtest.policies import BudgetMeter
from streams.backtest.results import RunComparison
from streams.define.agents import Agent
from streams.model.chat import ChatAnswer, ChatModel, ChatRequest
from streams.model.scripted_model import ScriptedModel
from streams.replay.run_observations import Observed
from streams.replay.runs import LoggedRuns, Rerun, Submission
from streams.testing import BEGINNING_MS

SEED = 20
PARTS = {"prompt": 7, "tool order": 11, "code branch": 13}
LATENCY = [0.0]


@tool
async def price(article: str) -> str:
    """Return a price that is another one at each call."""
    await asyncio.sleep(LATENCY[0])
    return f"{article}: {random.random()}"


@agent
async def writer(text: str, run: Run) -> str:
    """Write with a model."""
    return await run.llm("Write.", text)


def buyer(change: str = "", changed: frozenset[str] = frozenset()) -> Agent[Any, Any]:
    """Return the agent, with a change for some inputs."""

    @agent
    async def buyer(article: str, run: Run) -> list[str]:
        other = change if article in changed else ""
        if other == "tool order":
            second = await run.tool(price, article=f"{article}-2")
            first = await run.tool(price, article=f"{article}-1")
        else:
            first = await run.tool(price, article=f"{article}-1")
            second = await run.tool(price, article=f"{article}-2")
        verdict = await run.llm("Decide at once." if other == "prompt" else "Decide.", first, second)
        if other != "code branch":
            verdict = await run.llm("Check.", verdict)
        return [first, second, verdict, await run.call(writer, verdict)]

    return buyer


class SlowModel:
    """A model that takes its time, and never says the same twice."""

    def __init__(self) -> None:
        """Count from nothing."""
        said = itertools.count()
        self._model = ScriptedModel(always=lambda _request: f"word {next(said)}")

    @property
    def name(self) -> str:
        """The name of the model."""
        return self._model.name

    async def complete(self, request: ChatRequest, on_delta: Callable[[str], None] | None = None) -> ChatAnswer:
        """Answer after a while."""
        await asyncio.sleep(LATENCY[0])
        return await self._model.complete(request, on_delta)


Log = tuple[dict[str, Observed], list[dict[str, Any]], list[Submission], float]


async def record(count: int) -> Log:
    """Make the runs, one after the other; return journals, calls, submissions and runs a second."""
    model: ChatModel = SlowModel()
    live = Rerun({"buyer": buyer(), "writer": writer}, LoggedRuns(), "live", lambda: model)
    runs: dict[str, Observed] = {}
    calls: list[dict[str, Any]] = []
    submissions = [
        Submission(RunSubmitted(run_id=f"run-{number}", agent="buyer", input=f"a{number}"), BEGINNING_MS + number)
        for number in range(count)
    ]
    began = time.perf_counter()
    for submission in submissions:
        _, world = await live.root(submission)
        runs |= {run_id: Observed(machine.journal.entries) for run_id, machine in world.machines.items()}
        calls += [output.event.model_dump() for _, output in world.outputs if output.to == "calls"]
    return runs, calls, submissions, count / (time.perf_counter() - began)


async def compare(
    log: Log, candidate: Agent[Any, Any], calls: list[dict[str, Any]]
) -> tuple[list[RunComparison], float]:
    """Run all through the lanes; return them and how many runs of a lane were run a second."""
    runs, _, submissions, _ = log
    known = RecordedRuns(runs, CallRecordings(calls))
    agents = {"buyer": candidate, "writer": writer}
    lanes = Lanes(known, {"buyer": buyer(), "writer": writer}, CandidateLane(agents), BudgetMeter())
    began = time.perf_counter()
    found = [one for submission in submissions if (one := await lanes.compare(submission)) is not None]
    return found, 2 * len(submissions) / (time.perf_counter() - began)


def cut_network() -> None:
    """Let no socket of this process connect to anything."""

    def refuse(*_args: Any, **_options: Any) -> Any:
        raise OSError("the network is cut")

    socket.socket.connect = refuse  # type: ignore[method-assign]
    socket.getaddrinfo = refuse


async def main() -> None:
    """Record, change, compare, print; exit 1 if a change is not found exactly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds that each call takes")
    options = parser.parse_args()
    LATENCY[0] = options.latency
    log = await record(options.runs)
    print(f"{options.runs} runs recorded, {log[3]:.1f} runs/s", flush=True)
    cut_network()
    wrong = []
    for change in ("none", *PARTS, "model answer"):
        step = PARTS.get(change, 17)
        planted = {f"run-{number}" for number in range(0, options.runs, step)} if change != "none" else set()
        calls = log[1]
        if change == "model answer":
            calls = [other(call) if call["run_id"] in planted and call["path"] == "4" else call for call in calls]
        inputs = frozenset(f"a{run.removeprefix('run-')}" for run in planted)
        found, rate = await compare(log, buyer(change, inputs), calls)
        different = {one.run_id for one in found if one.differences}
        drift = {one.run_id for one in found if one.baseline_differences}
        expected_drift = planted if change == "model answer" else set()
        exact = different == planted and drift == expected_drift and len(found) == options.runs
        wrong += [] if exact else [change]
        result = {"change": change, "planted": len(planted), "found": len(different & planted)}
        result |= {"invented": len(different - planted), "baseline equal": len(found) - len(drift)}
        print(json.dumps({**result, "runs/s": round(rate, 1), "times live": round(rate / log[3], 1)}), flush=True)
    if wrong:
        raise SystemExit(f"not found exactly: {', '.join(wrong)}")


def other(call: dict[str, Any]) -> dict[str, Any]:
    """Return a call with another answer of the model."""
    return {**call, "answer": {**call["answer"], "text": "another word"}}


if __name__ == "__main__":
    asyncio.run(main())
