"""What workers ask the homes of budgets, and what people are shown of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streams.worker.http.responses import answer, of

if TYPE_CHECKING:
    from streams.limits.budget_homes import BudgetHomes
    from streams.worker.http.ownership_check import OwnershipCheck


class BudgetPages:
    """`/owner/budgets`."""

    def __init__(self, proof: OwnershipCheck, homes: BudgetHomes) -> None:
        """Answer for `homes`."""
        self._proof = proof
        self._homes = homes

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/owner/budgets", self.ask, methods=["POST"]),
            Route("/owner/budgets", self.list, methods=["GET"]),
        ]

    async def ask(self, request: Request) -> Response:
        """Hold something of a budget for a call, or let go of it."""
        return answer(await self._homes.ask(orjson.loads(await request.body())))

    async def list(self, _: Request) -> Response:
        """Answer the accounts whose home is here."""
        return of(self._proof.assignments(), answer({"budgets": self._homes.rows()}))
