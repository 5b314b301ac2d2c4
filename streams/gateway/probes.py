"""Liveness, readiness and metrics: what the machinery around a gateway asks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from streams.contract.probes import Liveness, Readiness
from streams.gateway.answers import answer
from streams.gateway.operation import Operation, TextAnswer

if TYPE_CHECKING:
    from streams.gateway.deps import Check, Deps
    from streams.gateway.gateway_metrics import GatewayMetrics
    from streams.gateway.operation import OperationCall

PATIENCE: Final = 3.0
"""Seconds for one readiness check."""

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


class Probes:
    """Answers probes; readiness runs every check at once, each within PATIENCE."""

    def __init__(self, deps: Deps, metrics: GatewayMetrics) -> None:
        self._checks = deps.checks
        self._metrics = metrics

    async def healthz(self, _: OperationCall) -> Response:
        """`GET /healthz`: the process answers."""
        return answer(Liveness(status="ok"))

    async def readyz(self, _: OperationCall) -> Response:
        """`GET /readyz`: 200 when every check passes, else 503 with those that are not."""
        names = list(self._checks)
        results = await asyncio.gather(*(_checked(self._checks[name]) for name in names))
        checks = {name: result or "ok" for name, result in zip(names, results, strict=True)}
        ready = not any(results)
        body = Readiness(status="ready" if ready else "not ready", checks=checks)
        return answer(body, 200 if ready else 503, None if ready else {"retry-after": "1"})

    async def metrics(self, _: OperationCall) -> Response:
        """`GET /metrics`."""
        return Response(self._metrics.text(), media_type=_TEXT)

    def operations(self) -> list[Operation]:
        """Return the operations for orchestrators and Prometheus."""
        return [
            Operation("GET", "/healthz", self.healthz, "open", "The process answers", {200: Liveness}, tag="probes"),
            Operation(
                "GET",
                "/readyz",
                self.readyz,
                "open",
                "Broker, topics and model answer",
                {200: Readiness, 503: Readiness},
                tag="probes",
            ),
            Operation(
                "GET",
                "/metrics",
                self.metrics,
                "open",
                "Prometheus text",
                {200: TextAnswer("text/plain")},
                tag="probes",
            ),
        ]


async def _checked(check: Check) -> str | None:
    try:
        async with asyncio.timeout(PATIENCE):
            return await check()
    except TimeoutError:
        return f"no answer within {PATIENCE:g} s"
