"""What exists: agents, tools and workers, as the console and `agents list` show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from streams.gateway.answers import answer

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.gateway.deps import Deps
    from streams.gateway.operation import Call


class People:
    """Serves the catalogue; its pages never change while a gateway runs, so they are made once."""

    def __init__(self, deps: Deps) -> None:
        catalog = deps.catalog
        self._owners = deps.owners
        self._agents = [
            {
                "name": agent.name,
                "doc": agent.doc,
                "pool": agent.pool,
                "version": agent.version,
                "priority": agent.priority,
                "concurrency": agent.concurrency,
                "deadline_s": agent.deadline,
                "tools": [tool.name for tool in agent.tools],
                "input": _schema(agent.input_type),
                "output": _schema(agent.output_type),
            }
            for _, agent in sorted(catalog.agents.items())
        ]
        self._tools = [
            {
                "name": tool.name,
                "doc": tool.doc,
                "version": tool.version,
                "timeout_s": tool.timeout,
                "approval": tool.approval,
                "arguments": _schema(tool.args_model),
                "returns": _schema(tool.returns),
            }
            for _, tool in sorted(catalog.tools.items())
        ]

    async def agents(self, _: Call) -> Response:
        """`GET /agents`."""
        return answer({"agents": self._agents})

    async def tools(self, _: Call) -> Response:
        """`GET /tools`."""
        return answer({"tools": self._tools})

    async def workers(self, _: Call) -> Response:
        """`GET /workers`."""
        return answer({"workers": self._owners.workers()})


def _schema(kind: Any) -> dict[str, Any] | None:
    """Return the JSON schema of a type, None when pydantic knows none."""
    try:
        return TypeAdapter(kind).json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError):
        return None
