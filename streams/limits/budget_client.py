"""The side of a call: which budgets it draws on, what it holds of them before it is made, what it has used."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemas.usage import BudgetSpent, UsageCounted
from streams import clock
from streams.engine.decision import Output
from streams.errors import StreamsError
from streams.limits.budget_account import AGENT_SCOPE, KINDS, BudgetAmount
from streams.limits.peers import HomeAwayError

if TYPE_CHECKING:
    from streams.choices import Budget
    from streams.define.agents import Agent
    from streams.model.prices import Price

log = logging.getLogger(__name__)

PATIENCE_S: Final = 15.0  # longer than a home takes to move
AGAIN_S: Final = 0.3
REMEMBERED_S: Final = 1.0  # a refusal stands for the other calls that come in that time
CHARACTERS: Final = 4  # of English that make a token, by OpenAI's rule of thumb

Ask = Callable[[str, str, dict[str, Any]], Awaitable[dict[str, Any]]]  # pool, scope, question


class BudgetClaim(NamedTuple):
    """A budget that a call draws on, for a day or, with an empty day, for ever; its home is in that agent's pool."""

    scope: str
    budget: Budget
    day: str
    agent: Agent[Any, Any]


@dataclass(frozen=True)
class Spender:
    """Who makes a call."""

    agent: Agent[Any, Any]
    run_id: str
    key: str | None  # the value of the agent's concurrency key
    root: tuple[str, str] | None = None  # run and agent at the top of the family, for a run that was called

    @classmethod
    def of(cls, agent: Agent[Any, Any], run_id: str, given: Any, meta: Mapping[str, Any] | None = None) -> Spender:
        """Return the spender that a run of `agent` with that input is; `meta` says who called it."""
        value = given.get(agent.concurrency_key) if agent.concurrency_key and isinstance(given, dict) else None
        known = meta or {}
        root = (known["root"], known["root_agent"]) if known.get("root") and known.get("root_agent") else None
        return cls(agent, run_id, None if value is None else str(value), root)


class BudgetReservation(NamedTuple):
    """What a call holds: to be settled or let go."""

    id: str
    claims: tuple[BudgetClaim, ...]


class BudgetClient:
    """The budgets that calls of this worker draw on."""

    def __init__(
        self,
        usual: Mapping[str, Budget],
        ask: Ask,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        *,
        lease: float,
        agents: Mapping[str, Agent[Any, Any]] | None = None,
    ) -> None:
        """`usual` are the budgets of agents without their own; `lease` is seconds that no call lasts longer than.

        `agents` are those of all pools, by name.
        """
        self._agents = agents or {}
        self._usual = usual
        self._ask = ask
        self._spawn = spawn
        self._lease = lease
        self._refused: dict[tuple[str, Sequence[str]], tuple[float, str]] = {}

    def claims(self, spender: Spender) -> tuple[BudgetClaim, ...]:
        """Return the budgets that a run's calls draw on: its own, and that of the run at the top of its family."""
        agent, today = spender.agent, clock.today()
        own = [
            (f"run:{spender.run_id}", agent.budget_per_run or self._usual.get("run"), "", agent),
            (AGENT_SCOPE + agent.name, agent.budget or self._usual.get("agent"), today, agent),
        ]
        if spender.key is not None:
            own.append(
                (f"key:{agent.name}/{spender.key}", agent.budget_per_key or self._usual.get("key"), today, agent)
            )
        if spender.root is not None and (root := self._agents.get(spender.root[1])) is not None:
            own.append((f"run:{spender.root[0]}", root.budget_per_run or self._usual.get("run"), "", root))
        return tuple(BudgetClaim(scope, budget, day, whose) for scope, budget, day, whose in own if budget is not None)

    async def hold(
        self, spender: Spender, call: str, wanted: BudgetAmount, *, priced: bool, kinds: Sequence[str] = KINDS
    ) -> BudgetReservation | str:
        """Hold what `call` will use at least; return why it has to wait if a budget is spent.

        `kinds` are those of which it can use anything. Raises HomeAwayError when a home does not answer for long.
        """
        claims = self.claims(spender)
        done: list[BudgetClaim] = []
        why: str | None = None
        for claim in claims:
            if claim.budget.usd is not None and not priced:
                why = f"{claim.scope} has a budget in money, and the model has no price: add it to STREAMS_LLM_PRICES"
            else:
                why = await self._one(claim, call, wanted, kinds)
            if why is not None:
                self.free(BudgetReservation(call, tuple(done)))
                return why
            done.append(claim)
        return BudgetReservation(call, claims)

    def free(self, held: BudgetReservation) -> None:
        """Let go of what a call held that used nothing."""
        for claim in held.claims:
            self._spawn(self._let_go(claim.agent.pool, claim.scope, held.id))

    def settled(self, held: BudgetReservation, used: BudgetAmount) -> list[Output]:
        """Return the records that report to the homes what was used: they belong into the unit of the answer."""
        found = []
        for scope, _, day, agent in held.claims:
            event = BudgetSpent(scope=scope, hold=held.id, day=day, tokens=used.tokens, usd=used.usd, calls=used.calls)
            found.append(Output("signals", event, f"{held.id}/{scope}", scope, agent.name, agent.pool))
        return found

    async def _one(self, claim: BudgetClaim, call: str, wanted: BudgetAmount, kinds: Sequence[str]) -> str | None:
        now, asked = clock.monotonic(), (claim.scope, kinds)
        until, why = self._refused.get(asked, (0.0, ""))
        if until > now:
            return why
        question = {
            "do": "hold",
            "scope": claim.scope,
            "hold": call,
            "day": claim.day,
            "budget": claim.budget.model_dump(),
            "wanted": list(wanted),
            "seconds": self._lease,
            "kinds": list(kinds),
        }
        answer = await self._answer(claim.agent.pool, claim.scope, question)
        if answer.get("held"):
            self._refused.pop(asked, None)
            return None
        why = str(answer["spent"])
        self._refused[asked] = (clock.monotonic() + REMEMBERED_S, why)
        return why

    async def _answer(self, pool: str, scope: str, question: dict[str, Any]) -> dict[str, Any]:
        end = clock.monotonic() + PATIENCE_S
        while True:
            try:
                answer = await self._ask(pool, scope, question)
            except StreamsError as error:
                log.debug("no home for the budget of %s: %s", scope, error)
                answer = {"away": True}
            if not answer.get("away"):
                return answer
            if clock.monotonic() > end:
                raise HomeAwayError(f"no worker of pool {pool!r} answers for the budget of {scope}")
            await asyncio.sleep(AGAIN_S)  # partitions move: there is no event that all of it passes through

    async def _let_go(self, pool: str, scope: str, call: str) -> None:
        try:
            await self._ask(pool, scope, {"do": "free", "scope": scope, "hold": call})
        except StreamsError as error:
            log.debug("a hold of %s is left to its time: %s", scope, error)


def counted(spender: Spender, attempt: str, calls: int, usage: Mapping[str, Any]) -> list[Output]:
    """Return the events that the table `usage` adds up: of the agent, and of its key's value if the run has one."""
    agent, day = spender.agent.name, clock.today()
    rows = {f"{agent}/{day}": None} | ({} if spender.key is None else {f"{agent}/{spender.key}/{day}": spender.key})
    events = [
        UsageCounted(
            row=row,
            agent=agent,
            key=key,
            day=day,
            run_id=spender.run_id,
            calls=calls,
            input_tokens=usage.get("input_tokens", 0),
            output_tokens=usage.get("output_tokens", 0),
            cached_tokens=usage.get("cached_tokens", 0),
            cost_usd=usage.get("cost_usd"),
            unpriced=usage.get("unpriced", 0),
        )
        for row, key in rows.items()
    ]
    return [Output("events", event, f"{attempt}/usage/{number}", event.row) for number, event in enumerate(events)]


def at_least(given: Mapping[str, Any], price: Price | None) -> BudgetAmount:
    """Return what a call will use at least: its prompt, and the answer that it may have if it says how long one."""
    characters = len(given["prompt"]) + sum(len(str(arg)) for arg in given.get("args") or ())
    tokens, most = characters // CHARACTERS, (given.get("params") or {}).get("max_tokens")
    answer = most if isinstance(most, int) else 0
    usd = 0.0 if price is None else (tokens * price.input + answer * price.output) / 1_000_000
    return BudgetAmount(tokens + answer, usd, 1)
