"""A call of a tool draws on budgets of calls, whoever wished for it: the agent, a model, or another tool."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from schemas.call import CallRecorded
from schemas.usage import BudgetSpent
from streams import Budget, Reject, Run, agent, tool
from streams.define.policies import RetryPolicy
from streams.engine.decision import Perform
from streams.engine.messages import EffectDone
from streams.limits.budget_client import Spender
from streams.runtime.tasks import BackgroundTasks
from streams.tools._inner import inner
from streams.worker.runs.effects import EffectRunner
from tests.unit.limits.test_budget_client import Homes, scopes


@agent(budget_per_run=Budget(calls=9))
async def top(run: Run) -> None:
    """Call others."""


@agent
async def below(run: Run) -> None:
    """Work for another run."""


@tool
async def one(number: int) -> int:
    """Say a number back."""
    return number


@tool
async def several(count: int) -> int:
    """Call another tool so many times."""
    return sum([await inner(one, number=1) for _ in range(count)])


@tool(retry=RetryPolicy(attempts=1))
async def broken() -> None:
    """Fail."""
    raise Reject("no")


CHILD = Spender.of(below, "child", None, {"root": "r", "root_agent": "top"})


def test_a_run_that_was_called_draws_on_the_budget_at_the_top_of_its_family() -> None:
    homes = Homes()
    budget_client = homes.budget_client()
    assert scopes(budget_client, CHILD) == []
    budget_client = homes.budget_client(agents={"top": top})
    assert scopes(budget_client, CHILD) == ["run:r"]
    assert scopes(budget_client, Spender.of(below, "lone", None, {})) == []
    budget_client = homes.budget_client(agents={"top": top}, run=Budget(calls=1))
    assert scopes(budget_client, CHILD) == ["run:child", "run:r"]


async def performed(homes: Homes, made: Any, **args: Any) -> EffectDone:
    tasks = BackgroundTasks(lambda error: None)
    effects = EffectRunner(
        tasks, cast("Any", None), cast("Any", None), homes.budget_client(agents={"top": top}), lambda stage: None
    )
    perform = Perform(
        "1", 0, "tool", made.name, args, None, made.retry, 5, 1, pure=False, idempotency_key="", tool=made
    )
    done: asyncio.Future[EffectDone] = asyncio.get_running_loop().create_future()
    effects.start(CHILD, perform, done.set_result)
    report = await done
    await asyncio.gather(*homes.tasks)
    return report


def spent(report: EffectDone) -> list[tuple[str, int, int]]:
    events = [output.event for output in report.also]
    return [(event.scope, event.calls, event.tokens) for event in events if isinstance(event, BudgetSpent)]


async def test_a_tool_uses_one_call_and_one_for_each_that_it_makes() -> None:
    assert spent(await performed(Homes(), one, number=1)) == [("run:r", 1, 0)]
    report = await performed(Homes(), several, count=3)
    assert (report.value, spent(report)) == (3, [("run:r", 4, 0)])


async def test_a_call_that_failed_was_made() -> None:
    report = await performed(Homes(), broken)
    assert report.error is not None
    assert spent(report) == [("run:r", 1, 0)]
    [call] = report.calls
    assert isinstance(call, CallRecorded)
    assert (call.name, call.answer, call.error) == ("broken", None, {"type": "Reject", "message": "no"})


async def test_a_call_over_the_budget_is_not_made_and_waits() -> None:
    report = await performed(Homes(spent="run:r"), one, number=1)
    assert (report.parked, report.value, report.calls, spent(report)) == ("no more", None, [], [])


async def test_a_tool_asks_for_a_call_only() -> None:
    homes = Homes()
    await performed(homes, one, number=1)
    assert [(asked["wanted"], asked["kinds"]) for asked in homes.asked] == [([0, 0.0, 1], ["calls"])]
