"""`/tools`: the tools that agents can call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.contract.tools import ToolInfo, ToolList
from streams.gateway.agents import schema_of
from streams.gateway.answers import answer
from streams.gateway.operation import Operation, OperationCall

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.gateway.deps import Deps


class ToolResource:
    """Shows the tools of the catalogue; they never change while a gateway runs, so the answer is made once."""

    def __init__(self, deps: Deps) -> None:
        self._tools = ToolList(
            tools=[
                ToolInfo(
                    name=tool.name,
                    doc=tool.doc,
                    version=tool.version,
                    timeout_s=tool.timeout,
                    approval=tool.approval,
                    arguments=schema_of(tool.args_model),
                    returns=schema_of(tool.returns),
                )
                for _, tool in sorted(deps.catalog.tools.items())
            ]
        )

    async def all(self, _: OperationCall) -> Response:
        """`GET /tools`."""
        return answer(self._tools)

    def operations(self) -> list[Operation]:
        """Return the operation on tools."""
        return [Operation("GET", "/tools", self.all, "read", "The tools", {200: ToolList}, tag="tools")]
