"""`/agents`: what can be run, with the state of the queues, and the commands that pause and resume one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from schemas.agent import AgentCommanded
from streams.contract.agents import AgentCommandAccepted, AgentList
from streams.gateway.answers import answer, answer_as
from streams.gateway.body import BODY_PROBLEMS, optional_body
from streams.gateway.operation import IDEMPOTENCY_KEY, NO_MEMBERS, Operation, OperationCall
from streams.gateway.pages import rows_of
from streams.gateway.pools import no_worker
from streams.gateway.problem import INVALID_REQUEST
from streams.gateway.submission import UNKNOWN_AGENT, near
from streams.gateway.write import WRITE_PROBLEMS, send_signal

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.define.agents import Agent
    from streams.gateway.deps import Deps


class Agents:
    """Shows agents, and writes commands to their queues."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._agents = deps.catalog.agents
        self._declared = [_declared(agent) for _, agent in sorted(self._agents.items())]

    async def all(self, _: OperationCall) -> Response:
        """`GET /agents`: `paused` and `queued` are null while not every partition of the pool has a worker.

        `waits` says why the queue of an agent is not worked off, or not in some partitions; null where it is.
        """
        queues = await self._queues()
        live = self._deps.owners.pools()
        unknown = {"paused": None, "queued": None}
        agents = [one | queues.get(one["name"], unknown) | {"waits": self._waits(one, live)} for one in self._declared]
        return answer_as(AgentList, {"agents": agents})

    def _waits(self, shown: dict[str, Any], live: list[str]) -> str | None:
        name, pool = shown["name"], shown["pool"]
        if pool not in live:
            return no_worker(pool)["reason"]
        unserved = self._deps.owners.unserved(pool, name)
        numbers = ", ".join(map(str, unserved))
        return f"the owners of partitions {numbers} do not have agent '{name}' in their code" if unserved else None

    async def pause(self, call: OperationCall) -> Response:
        """`POST /agents/{name}/pause`: no queued run begins; those that have begun go on."""
        return await self._command(call, "pause")

    async def resume(self, call: OperationCall) -> Response:
        """`POST /agents/{name}/resume`: queued runs begin, in their order."""
        return await self._command(call, "resume")

    async def _command(self, call: OperationCall, command: Literal["pause", "resume"]) -> Response:
        name = call.param("name")
        agent = self._agents.get(name)
        if agent is None:
            raise UNKNOWN_AGENT(f"No agent has that name; {near(name, self._agents)}")
        await optional_body(call)
        request_id = call.request_id(name, command)
        event = AgentCommanded(agent=name, command=command, request_id=request_id)
        await send_signal(self._deps, call, event, request_id, agent=name, pool=agent.pool)
        return answer(AgentCommandAccepted(agent=name, id=request_id, accepted=command), 202)

    async def _queues(self) -> dict[str, dict[str, Any]]:
        """Return the state of the queues by agent, added up over the workers of each pool."""
        live = set(self._deps.owners.pools())
        pools = sorted({agent.pool for agent in self._agents.values()} & live)
        found: dict[str, dict[str, Any]] = {}
        for rows in await asyncio.gather(*(rows_of(self._deps.owners, pool, "agents") for pool in pools)):
            for row in rows:
                sums = found.setdefault(row["name"], {"paused": False, "queued": 0})
                sums["paused"] = sums["paused"] or row["paused"]
                sums["queued"] += row["queued"]
        return found

    def operations(self) -> list[Operation]:
        """Return the operations on agents."""
        commands = (
            ("pause", self.pause, "No queued run begins until it is resumed; running ones go on"),
            ("resume", self.resume, "Queued runs begin again"),
        )
        return [
            Operation("GET", "/agents", self.all, "read", "The agents", {200: AgentList}, tag="agents"),
            *(
                Operation(
                    "POST",
                    f"/agents/{{name}}/{name}",
                    handler,
                    "admin",
                    summary,
                    {202: AgentCommandAccepted},
                    (*BODY_PROBLEMS, UNKNOWN_AGENT, INVALID_REQUEST, *WRITE_PROBLEMS),
                    (IDEMPOTENCY_KEY,),
                    NO_MEMBERS,
                    body_required=False,
                    tag="agents",
                )
                for name, handler, summary in commands
            ),
        ]


def _declared(agent: Agent[Any, Any]) -> dict[str, Any]:
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
