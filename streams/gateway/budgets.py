"""`/budgets`: what agents, runs and concurrency keys may use and have used, and the command that changes that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from schemas.usage import BudgetChanged
from streams.choices import Budget
from streams.contract.budgets import BudgetAccepted, BudgetLimits, BudgetList
from streams.gateway.answers import answer, answer_as
from streams.gateway.body import BODY_PROBLEMS, content, parse
from streams.gateway.ids import check_id
from streams.gateway.operation import IDEMPOTENCY_KEY, JSON, Operation, OperationCall
from streams.gateway.pages import rows_of
from streams.gateway.problem import CONFLICT, INVALID_REQUEST, invalid_request
from streams.gateway.runs import READ_PROBLEMS
from streams.gateway.submission import UNKNOWN_AGENT, near
from streams.gateway.write import WRITE_PROBLEMS, send_signal

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.define.agents import Agent
    from streams.gateway.deps import Deps
    from streams.gateway.runs import Runs


_LONGEST_KEY: Final = 500
_AMOUNT: Final[dict[str, Any]] = {
    "tokens": {"type": ["integer", "null"], "minimum": 0, "maximum": 2**53},
    "usd": {"type": ["number", "null"], "minimum": 0},
    "calls": {"type": ["integer", "null"], "minimum": 0, "maximum": 2**53},
}


class Budgets:
    """Shows accounts, and writes commands to their homes."""

    def __init__(self, deps: Deps, runs: Runs) -> None:
        self._deps = deps
        self._runs = runs

    async def all(self, _: OperationCall) -> Response:
        """`GET /budgets`: the accounts of the workers that answer, with the budget that the code declares."""
        live = sorted({agent.pool for agent in self._deps.catalog.agents.values()} & set(self._deps.owners.pools()))
        found = [
            row
            for rows in await asyncio.gather(*(rows_of(self._deps.owners, pool, "budgets") for pool in live))
            for row in rows
        ]
        known = {row["scope"] for row in found}
        for name, agent in sorted(self._deps.catalog.agents.items()):
            if self._declared("agent", agent) is not None and f"agent:{name}" not in known:
                found.append({"scope": f"agent:{name}", "pool": agent.pool, "used": None, "given": None})
        for row in found:
            kind, _, rest = row["scope"].partition(":")
            owner = self._deps.catalog.agents.get(rest.partition("/")[0]) if kind != "run" else None
            declared = None if owner is None else self._declared(kind, owner)
            row["declared"] = None if declared is None else declared.model_dump()
        return answer_as(BudgetList, {"budgets": sorted(found, key=lambda row: str(row["scope"]))})

    async def change(self, call: OperationCall) -> Response:
        """`POST /budgets/{scope}`: give a scope another budget; runs that wait for it try again within seconds."""
        scope = call.param("scope")
        request_id = call.request_id(scope)
        try:
            budget = Budget.model_validate(parse(await content(call)), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise invalid_request(".".join(map(str, first["loc"])) or "body", first["msg"]) from error
        agent, pool = await self._owner(scope)
        event = BudgetChanged(
            scope=scope, request_id=request_id, tokens=budget.tokens, usd=budget.usd, calls=budget.calls
        )
        await send_signal(self._deps, call, event, request_id, agent=agent, pool=pool)
        limits = BudgetLimits(tokens=budget.tokens, usd=budget.usd, calls=budget.calls)
        return answer(BudgetAccepted(scope=scope, id=request_id, accepted=limits), 202)

    async def _owner(self, scope: str) -> tuple[str, str]:
        """Return the agent whose budget a scope is, and its pool; Problem for one that nobody draws on."""
        kind, _, rest = scope.partition(":")
        if kind == "run" and rest:
            found = await self._runs.view(check_id(rest, "scope"))
            agent = self._agent(str(found.view["agent"]))
            self._check(kind, agent)
            return agent.name, found.pool
        name, slash, value = rest.partition("/")
        if (kind == "key" and slash and 0 < len(value) <= _LONGEST_KEY) or (kind == "agent" and name and not slash):
            agent = self._agent(name)
        else:
            raise invalid_request("scope", "it must be run:ID, agent:NAME or key:AGENT/VALUE")
        self._check(kind, agent)
        return agent.name, agent.pool

    def _agent(self, name: str) -> Agent[Any, Any]:
        agent = self._deps.catalog.agents.get(name)
        if agent is None:
            raise UNKNOWN_AGENT(f"No agent has that name; {near(name, self._deps.catalog.agents)}")
        return agent

    def _check(self, kind: str, agent: Agent[Any, Any]) -> None:
        if self._declared(kind, agent) is None:
            raise CONFLICT(
                f"Calls of {agent.name} draw on no budget of the kind {kind!r}: declare one in its @agent, or set "
                "STREAMS_BUDGETS.",
            )

    def _declared(self, kind: str, agent: Agent[Any, Any]) -> Budget | None:
        own = {"run": agent.budget_per_run, "agent": agent.budget, "key": agent.budget_per_key}[kind]
        if kind == "key" and agent.concurrency_key is None:
            return None
        return own or self._deps.settings.budgets.get(kind)

    def operations(self) -> list[Operation]:
        """Return the operations on budgets."""
        body = {"type": "object", "additionalProperties": False, "properties": _AMOUNT}
        return [
            Operation("GET", "/budgets", self.all, "read", "What budgets have left", {200: BudgetList}, tag="budgets"),
            Operation(
                "POST",
                "/budgets/{scope:text}",
                self.change,
                "admin",
                "Give a run, an agent or a concurrency key another budget; nothing in it: the declared one",
                {202: BudgetAccepted},
                (*BODY_PROBLEMS, UNKNOWN_AGENT, *READ_PROBLEMS, INVALID_REQUEST, CONFLICT, *WRITE_PROBLEMS),
                (IDEMPOTENCY_KEY,),
                {JSON: body},
                tag="budgets",
            ),
        ]
