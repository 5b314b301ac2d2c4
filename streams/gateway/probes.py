"""Liveness, readiness and metrics: what the machinery around a gateway asks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from streams.gateway.answers import answer

if TYPE_CHECKING:
    from streams.gateway.deps import Check, Deps
    from streams.gateway.meter import Meter
    from streams.gateway.operation import OperationCall

PATIENCE: Final = 3.0
"""Seconds for one readiness check."""

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


class Probes:
    """Answers probes; readiness runs every check at once, each within PATIENCE."""

    def __init__(self, deps: Deps, meter: Meter) -> None:
        self._checks = deps.checks
        self._meter = meter

    async def healthz(self, _: OperationCall) -> Response:
        """`GET /healthz`: the process answers."""
        return answer({"status": "ok"})

    async def readyz(self, _: OperationCall) -> Response:
        """`GET /readyz`: 200 when every check is well, else 503 with those that are not."""
        names = list(self._checks)
        results = await asyncio.gather(*(_checked(self._checks[name]) for name in names))
        checks = {name: result or "ok" for name, result in zip(names, results, strict=True)}
        ready = not any(results)
        body = {"status": "ready" if ready else "not ready", "checks": checks}
        return answer(body, 200 if ready else 503, None if ready else {"retry-after": "1"})

    async def metrics(self, _: OperationCall) -> Response:
        """`GET /metrics`."""
        return Response(self._meter.text(), media_type=_TEXT)


async def _checked(check: Check) -> str | None:
    try:
        async with asyncio.timeout(PATIENCE):
            return await check()
    except TimeoutError:
        return f"no answer within {PATIENCE:g} s"
