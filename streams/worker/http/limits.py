"""What workers ask each other about limits: grants, places, shared answers, breakers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streams.worker.http.responses import answer, problem

if TYPE_CHECKING:
    from streams.limits.limits import WorkerLimits


class LimitPages:
    """`/owner/grants`, `/owner/places`, `/owner/answers`, `/owner/breakers` and what workers send each other."""

    def __init__(self, limits: WorkerLimits) -> None:
        """Answer for the homes of `limits`."""
        self._limits = limits

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/owner/grants", self.grants, methods=["POST"]),
            Route("/owner/places", self.semaphores, methods=["POST"]),
            Route("/owner/held", self.held, methods=["POST"]),
            Route("/owner/called", self.called, methods=["POST"]),
            Route("/owner/answers/{call}", self.shared, methods=["POST"]),
            Route("/owner/gossip", self.gossip, methods=["POST"]),
            Route("/owner/breakers", self.breakers),
            Route("/owner/breakers/{tool}", self.force, methods=["POST"]),
        ]

    async def grants(self, request: Request) -> Response:
        """Grant requests of rate limits; all asks of a worker come together."""
        return answer(await self._limits.homes.grants(await _body(request)))

    async def semaphores(self, request: Request) -> Response:
        """Take in which places of a limit a worker holds, and give it more."""
        return answer(await self._limits.homes.semaphores(await _body(request)))

    async def held(self, request: Request) -> Response:
        """Report to a new home which places this worker holds."""
        limits = (await _body(request))["limits"]
        return answer({"worker": str(self._limits.peers.holder), "held": self._limits.semaphores.held(limits)})

    async def called(self, request: Request) -> Response:
        """Take note that permits are free."""
        self._limits.semaphores.called((await _body(request))["limits"])
        return answer({})

    async def shared(self, request: Request) -> Response:
        """Return, or take in, the answer of a call; may wait for somebody else's."""
        return answer(await self._limits.homes.shared(request.path_params["call"], await _body(request)))

    async def gossip(self, request: Request) -> Response:
        """Take in the states of breakers."""
        self._limits.breakers.apply_state((await _body(request))["words"])
        return answer({})

    async def breakers(self, _: Request) -> Response:
        """Show every breaker as this worker knows it."""
        return answer({"breakers": self._limits.breakers.shown()})

    async def force(self, request: Request) -> Response:
        """Open or close a breaker by hand: `{"state": "open" | "closed"}`."""
        state = (await _body(request)).get("state")
        if state not in ("open", "closed"):
            return problem(422, 'say {"state": "open"} or {"state": "closed"}')
        word = self._limits.breakers.force(request.path_params["tool"], open_=state == "open")
        return problem(404, "no tool with a breaker has this name") if word is None else answer(word.to_json())


async def _body(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(await request.body())
    return body
