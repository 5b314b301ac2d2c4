"""`/workers`: the workers by their last heartbeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.contract.workers import WorkerList
from streams.gateway.answers import answer_as
from streams.gateway.operation import Operation, OperationCall

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.gateway.deps import Deps


class WorkerResource:
    """Shows workers."""

    def __init__(self, deps: Deps) -> None:
        self._owners = deps.owners

    async def all(self, _: OperationCall) -> Response:
        """`GET /workers`."""
        return answer_as(WorkerList, {"workers": self._owners.workers()})

    def operations(self) -> list[Operation]:
        """Return the operation on workers."""
        return [Operation("GET", "/workers", self.all, "read", "The workers", {200: WorkerList}, tag="workers")]
