"""Which budgets a call draws on, what it holds, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from pydantic import BaseModel

from schemas.usage import BudgetSpent, UsageCounted
from streams import Budget, Run, agent, clock
from streams.define.agents import Agent
from streams.define.policies import RetryPolicy
from streams.engine.decision import Perform
from streams.engine.messages import EffectDone
from streams.errors import DefinitionError
from streams.limits.budget_account import BudgetAmount
from streams.limits.budget_client import BudgetClient, BudgetReservation, Spender, counted
from streams.limits.single_flight import SingleFlight
from streams.model.errors import InvalidAnswerError
from streams.model.scripted_model import ScriptedModel
from streams.worker.runs.model_caller import ModelCaller


class Task(BaseModel):
    customer: str | None = None


@agent(concurrency_key="customer", budget=Budget(usd=1), budget_per_key=Budget(tokens=10))
async def worker(task: Task, run: Run) -> None:
    """Work."""


@agent
async def free(run: Run) -> None:
    """Work without a budget of its own."""


class Homes:
    """Answers what the test says."""

    def __init__(self, spent: str = "") -> None:
        self.asked: list[dict[str, Any]] = []
        self.spent = spent
        self.tasks: list[asyncio.Future[None]] = []

    async def ask(self, pool: str, scope: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(body)
        return {"spent": "no more"} if scope == self.spent else {"held": True}

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.ensure_future(coroutine))

    def budget_client(self, agents: dict[str, Agent[Any, Any]] | None = None, **usual: Budget) -> BudgetClient:
        return BudgetClient(usual, self.ask, self.spawn, lease=60, agents=agents)


def scopes(budget_client: BudgetClient, spender: Spender) -> list[str]:
    return [claim.scope for claim in budget_client.claims(spender)]


async def test_a_run_draws_on_the_budgets_that_its_agent_declares_or_all_have() -> None:
    homes = Homes()
    given = Spender.of(worker, "r", {"customer": "c"})
    assert scopes(homes.budget_client(), given) == ["agent:worker", "key:worker/c"]
    assert scopes(homes.budget_client(run=Budget(calls=1)), given) == ["run:r", "agent:worker", "key:worker/c"]
    assert scopes(homes.budget_client(), Spender.of(worker, "r", {"customer": None})) == ["agent:worker"]
    assert scopes(homes.budget_client(), Spender.of(free, "r", None)) == []


def test_a_budget_of_keys_needs_keys() -> None:
    with pytest.raises(DefinitionError, match="concurrency_key"):

        @agent(budget_per_key=Budget(calls=1))
        async def lost(run: Run) -> None:
            """Work."""


async def test_what_was_held_is_let_go_when_another_budget_is_spent() -> None:
    homes = Homes(spent="key:worker/c")
    spender = Spender.of(worker, "r", {"customer": "c"})
    assert await homes.budget_client().hold(spender, "call", BudgetAmount(calls=1), priced=True) == "no more"
    await asyncio.gather(*homes.tasks)
    assert [(one["do"], one["scope"]) for one in homes.asked] == [
        ("hold", "agent:worker"),
        ("hold", "key:worker/c"),
        ("free", "agent:worker"),
    ]


async def test_a_budget_in_money_lets_no_model_pass_whose_price_nobody_knows() -> None:
    homes = Homes()
    why = await homes.budget_client().hold(Spender.of(worker, "r", {}), "call", BudgetAmount(), priced=False)
    assert isinstance(why, str)
    assert "no price" in why
    assert homes.asked == []


async def test_a_refusal_stands_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    homes = Homes(spent="agent:worker")
    budget_client, spender = homes.budget_client(), Spender.of(worker, "r", {})
    for number in range(5):
        assert await budget_client.hold(spender, f"call{number}", BudgetAmount(), priced=True) == "no more"
    assert len(homes.asked) == 1
    now[0] += 1.1
    assert await budget_client.hold(spender, "later", BudgetAmount(), priced=True) == "no more"
    assert len(homes.asked) == 2


async def test_what_was_used_is_told_to_each_home_once() -> None:
    homes = Homes()
    budget_client, spender = homes.budget_client(), Spender.of(worker, "r", {"customer": "c"})
    held = await budget_client.hold(spender, "call", BudgetAmount(), priced=True)
    assert isinstance(held, BudgetReservation)
    told = budget_client.settled(held, BudgetAmount(30, 0.5, 1))
    assert [(one.to, one.key, one.pool) for one in told] == [
        ("signals", "agent:worker", "default"),
        ("signals", "key:worker/c", "default"),
    ]
    assert len({one.id for one in told}) == 2


def test_a_day_of_an_agent_and_of_a_key_are_rows() -> None:
    events = [one.event for one in counted(Spender.of(worker, "r", {"customer": "c"}), "a", 1, {"input_tokens": 5})]
    assert [event.key for event in events if isinstance(event, UsageCounted)] == [None, "c"]
    assert [event.row.count("/") for event in events if isinstance(event, UsageCounted)] == [1, 2]


def asked_for(kind: type) -> Perform:
    return Perform("1", 0, "llm", "it", {"prompt": "?"}, kind, RetryPolicy(), None, 1, pure=False, idempotency_key="")


async def test_an_answer_that_is_no_good_is_paid_for_all_the_same() -> None:
    homes = Homes()
    asking = ModelCaller(lambda: ScriptedModel("no number", "neither"), homes.budget_client())
    perform = Perform(
        "1", 0, "llm", "int", {"prompt": "?"}, int, RetryPolicy(), None, 1, pure=False, idempotency_key=""
    )
    report = EffectDone("1", 0, 1)
    with pytest.raises(InvalidAnswerError):
        await asking(Spender.of(worker, "r", {}), perform, report)
    assert report.usage is not None
    assert (report.usage["input_tokens"], len(report.calls)) == (2, 2)
    spent = [one.event for one in report.also if isinstance(one.event, BudgetSpent)]
    assert [(one.calls, one.tokens) for one in spent] == [(2, 4)]


async def test_equal_questions_are_asked_once_while_their_answer_is_good() -> None:
    homes, shared, model = Homes(), dict[str, Any](), ScriptedModel("yes")

    async def home(call: str, what: dict[str, Any]) -> dict[str, Any]:
        if what["do"] == "put":
            shared[call] = what["value"]
        return {"hit": True, "value": shared[call]} if call in shared else {"compute": True}

    async def owns(_run_id: str) -> None:
        """Own all runs."""

    asking = ModelCaller(lambda: model, homes.budget_client(), None, SingleFlight(home, homes.spawn, "w", owns))
    reports = [EffectDone("1", 0, 1) for _ in range(3)]
    perform = asked_for(str)
    perform.args["cache"] = 60
    await asyncio.gather(*(asking(Spender.of(free, f"r{n}", None), perform, one) for n, one in enumerate(reports)))
    assert [one.value for one in reports] == ["yes"] * 3
    assert [one.recorded for one in reports] == [False, True, True]
    assert [len(one.calls) for one in reports] == [1, 0, 0]


async def test_a_call_that_must_wait_is_not_made() -> None:
    model = ScriptedModel("yes")
    asking = ModelCaller(lambda: model, Homes(spent="agent:worker").budget_client())
    perform = Perform(
        "1", 0, "llm", "text", {"prompt": "?"}, str, RetryPolicy(), None, 1, pure=False, idempotency_key=""
    )
    report = EffectDone("1", 0, 1)
    await asking(Spender.of(worker, "r", {}), perform, report)
    assert (report.parked, report.also, model.requests) == ("no more", [], [])
