"""What every request passes: access, origin, load, the handler, errors as problems, metrics."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from starlette.requests import ClientDisconnect

from streams.clock import monotonic
from streams.gateway.access import Keys, allow, check_origin
from streams.gateway.operation import Operation, OperationCall
from streams.gateway.problem import BUSY, INTERNAL, METHOD_NOT_ALLOWED, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from streams.gateway.gateway_metrics import GatewayMetrics

log = logging.getLogger(__name__)

MAX_UNDER_WAY: Final = 2_000
"""Changes that may wait for the broker at once; further ones get 429, so that an outage does not fill memory."""


class Guard:
    """What all endpoints of one gateway share: keys, host names, metrics, and the changes under way."""

    def __init__(self, keys: Keys, hosts: frozenset[str], metrics: GatewayMetrics, limit: int = MAX_UNDER_WAY) -> None:
        self.keys = keys
        self.hosts = hosts
        self.metrics = metrics
        self.limit = limit
        self.changes = dict.fromkeys((False, True), 0)  # deliveries do not use up the limit of callers with keys


class Endpoint:
    """Answers all methods of one path."""

    def __init__(self, path: str, operations: Sequence[Operation], guard: Guard) -> None:
        self.path = path
        self._operations = {operation.method: operation for operation in operations}
        if "GET" in self._operations:
            self._operations["HEAD"] = self._operations["GET"]  # type: ignore[index]  # HEAD is served, never declared
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        started = monotonic()
        status = 499  # as nginx counts a client that went away
        metrics = self._guard.metrics
        metrics.under_way += 1
        try:
            response = await self._respond(scope, receive)
            if response is not None:
                status = response.status_code
                await response(scope, receive, send)
        finally:
            metrics.under_way -= 1
            metrics.answered(scope["method"], self.path, status, monotonic() - started)

    async def _respond(self, scope: Scope, receive: Receive) -> Response | None:
        try:
            return await self._handle(scope, receive)
        except Problem as problem:
            return problem.response()
        except ClientDisconnect:
            return None
        except Exception:
            log.exception("%s %s failed", scope["method"], self.path)
            return INTERNAL("The gateway failed on this request; its log has the cause.").response()

    async def _handle(self, scope: Scope, receive: Receive) -> Response:
        guard = self._guard
        operation = self._operations.get(scope["method"])
        if operation is None:
            allowed = ", ".join(sorted(self._operations))
            raise METHOD_NOT_ALLOWED(f"{self.path} has {allowed}.", headers={"allow": allowed})
        call = OperationCall(scope, receive)
        if not operation.foreign:
            check_origin(call, guard.hosts)
        if operation.access != "open":
            if operation.access == "optional":
                call.caller = guard.keys.known(call)
            else:
                call.caller = allow(guard.keys.caller(call), operation.access)
        if operation.method == "GET":
            return await operation.handler(call)
        if guard.changes[operation.foreign] >= guard.limit:
            raise BUSY(f"{guard.limit} changes wait for the log; come back in a second.", retry_after=1)
        guard.changes[operation.foreign] += 1
        try:
            return await operation.handler(call)
        finally:
            guard.changes[operation.foreign] -= 1
