"""The queues of agents as this worker sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streams.worker.http.responses import answer, of

if TYPE_CHECKING:
    from streams.worker.http.ownership_check import OwnershipCheck
    from streams.worker.runs.queue_pauses import QueuePauses


class AgentPages:
    """`/owner/agents`."""

    def __init__(self, proof: OwnershipCheck, pauses: QueuePauses) -> None:
        """Answer from `pauses`."""
        self._proof = proof
        self._pauses = pauses

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("/owner/agents", self.list)]

    async def list(self, _: Request) -> Response:
        """Answer the agents of this worker's pool: how many runs are queued here, and whether the queue is paused."""
        return of(self._proof.assignments(), answer({"agents": self._pauses.rows()}))
