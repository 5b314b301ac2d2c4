"""`/agents`: what can be run, with what workers tell of the queues, and the orders to pause and resume one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from schemas.agent import AgentCommanded
from schemas.attributes import new_id
from streams.gateway.answers import answer
from streams.gateway.body import content, parse
from streams.gateway.ids import check_key, hashed
from streams.gateway.operation import Operation, OperationCall
from streams.gateway.pools import no_worker
from streams.gateway.problem import Problem
from streams.gateway.submission import near
from streams.gateway.submit import IDEMPOTENCY_KEY, wrong
from streams.gateway.write import ProducedRecord, write
from streams.query.owners import OwnerUnavailableError

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.define.agents import Agent
    from streams.gateway.deps import Deps

_PROBLEMS: Final = (
    "malformed-json",
    "malformed-request",
    "too-large",
    "slow-body",
    "unknown-agent",
    "invalid-request",
    "busy",
    "not-acknowledged",
)
_TEXT: Final[dict[str, Any]] = {"type": "string"}


class Agents:
    """Shows agents, and writes orders to the owners of their names."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._agents = deps.catalog.agents
        self._shown = [_shown(agent) for _, agent in sorted(self._agents.items())]

    async def all(self, _: OperationCall) -> Response:
        """`GET /agents`: `paused` and `queued` are null while not every partition of the pool has a worker.

        `waits` says why the queue of an agent is not worked off, or not in some partitions; null where it is.
        """
        told = await self._told()
        live = self._deps.owners.pools()
        return answer(
            {
                "agents": [
                    one | told.get(one["name"], {"paused": None, "queued": None}) | {"waits": self._waits(one, live)}
                    for one in self._shown
                ]
            }
        )

    def _waits(self, shown: dict[str, Any], live: list[str]) -> str | None:
        name, pool = shown["name"], shown["pool"]
        if pool not in live:
            return no_worker(pool)["reason"]
        unserved = self._deps.owners.unserved(pool, name)
        numbers = ", ".join(map(str, unserved))
        return f"the owners of partitions {numbers} do not have agent '{name}' in their code" if unserved else None

    async def pause(self, call: OperationCall) -> Response:
        """`POST /agents/{name}/pause`: no queued run begins; those that have begun go on."""
        return await self._order(call, "pause")

    async def resume(self, call: OperationCall) -> Response:
        """`POST /agents/{name}/resume`: what was kept begins, in its order."""
        return await self._order(call, "resume")

    async def _order(self, call: OperationCall, command: str) -> Response:
        name = call.param("name")
        agent = self._agents.get(name)
        if agent is None:
            raise Problem("unknown-agent", f"No agent has that name; {near(name, self._agents)}")
        raw = await content(call)
        if raw.strip() and parse(raw) != {}:
            raise wrong("body", "it must be empty")
        key = check_key(call.headers.get("idempotency-key"))
        caller = call.caller.name if call.caller else ""
        request_id = new_id() if key is None else hashed("i-", caller, name, command, key)
        event = AgentCommanded(agent=name, command=command, request_id=request_id)
        record = ProducedRecord(
            self._deps.names.signals, event, request_id, headers={"agent": name, "pool": agent.pool}
        )
        await write(self._deps.producer, record, call.headers.get("traceparent"))
        return answer({"agent": name, "id": request_id, "accepted": command}, 202)

    async def _told(self) -> dict[str, dict[str, Any]]:
        """Return what the workers of each pool that has some tell, added up by agent."""
        live = set(self._deps.owners.pools())
        pools = sorted({agent.pool for agent in self._agents.values()} & live)
        found: dict[str, dict[str, Any]] = {}
        for rows in await asyncio.gather(*(self._rows(pool) for pool in pools)):
            for row in rows:
                sums = found.setdefault(row["name"], {"paused": False, "queued": 0})
                sums["paused"] = sums["paused"] or row["paused"]
                sums["queued"] += row["queued"]
        return found

    async def _rows(self, pool: str) -> list[dict[str, Any]]:
        try:
            answers = await self._deps.owners.ask_all(pool, "/owner/agents")
        except OwnerUnavailableError:
            return []
        return [row for said in answers if said.status == 200 for row in orjson.loads(said.body)["agents"]]


def of_agents(agents: Agents) -> list[Operation]:
    """Return the endpoints of agents."""
    listed = {
        "type": "object",
        "required": ["agents"],
        "properties": {"agents": {"type": "array", "items": {"type": "object"}}},
    }
    accepted = {
        "type": "object",
        "required": ["agent", "id", "accepted"],
        "properties": {"agent": _TEXT, "id": _TEXT, "accepted": _TEXT},
    }
    orders = (
        ("pause", agents.pause, "No queued run begins until it is resumed; running ones go on"),
        ("resume", agents.resume, "Queued runs begin again"),
    )
    return [
        Operation("GET", "/agents", agents.all, "read", "The agents", {200: listed}, tag="people"),
        *(
            Operation(
                "POST",
                f"/agents/{{name}}/{name}",
                handler,
                "admin",
                summary,
                {202: accepted},
                _PROBLEMS,
                (IDEMPOTENCY_KEY,),
                {"application/json": {"type": "object", "additionalProperties": False}},
                body_required=False,
                tag="people",
            )
            for name, handler, summary in orders
        ),
    ]


def _shown(agent: Agent[Any, Any]) -> dict[str, Any]:
    return {
        "name": agent.name,
        "doc": agent.doc,
        "pool": agent.pool,
        "version": agent.version,
        "priority": agent.priority,
        "concurrency": agent.concurrency,
        "concurrency_key": agent.concurrency_key,
        "deadline_s": agent.deadline,
        "tools": [tool.name for tool in agent.tools],
        "input": schema_of(agent.input_type),
        "output": schema_of(agent.output_type),
    }


def schema_of(kind: Any) -> dict[str, Any] | None:
    """Return the JSON schema of a type, None when pydantic knows none."""
    try:
        return TypeAdapter(kind).json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError):
        return None
