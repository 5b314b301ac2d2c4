"""What exists besides agents: tools and workers, as the console shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.gateway.agents import schema_of
from streams.gateway.answers import answer

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.gateway.deps import Deps
    from streams.gateway.operation import OperationCall


class People:
    """Serves the catalogue; its pages never change while a gateway runs, so they are made once."""

    def __init__(self, deps: Deps) -> None:
        catalog = deps.catalog
        self._owners = deps.owners
        self._tools = [
            {
                "name": tool.name,
                "doc": tool.doc,
                "version": tool.version,
                "timeout_s": tool.timeout,
                "approval": tool.approval,
                "arguments": schema_of(tool.args_model),
                "returns": schema_of(tool.returns),
            }
            for _, tool in sorted(catalog.tools.items())
        ]

    async def tools(self, _: OperationCall) -> Response:
        """`GET /tools`."""
        return answer({"tools": self._tools})

    async def workers(self, _: OperationCall) -> Response:
        """`GET /workers`."""
        return answer({"workers": self._owners.workers()})
