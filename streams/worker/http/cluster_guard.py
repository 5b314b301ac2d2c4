"""What every request to a worker passes first: Host and Origin, the cluster secret, type and size of the body."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from streams.query.cluster import is_authorized
from streams.serving.hosts import host_name, is_address, is_foreign
from streams.worker.http.responses import problem

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Probes, which need no secret; they show nothing of runs."""

CAP: Final = 8 << 20
"""Bytes of a body: more than a worker writes in one transaction."""

PATIENCE: Final = 20.0
"""Seconds for a body."""

_CHALLENGE: Final = {"www-authenticate": 'Bearer realm="streams-cluster"'}


class ClusterGuard:
    """Hands on what a worker or a gateway of the cluster asks, and what probes ask.

    `hosts` are the names that a Host header may have besides IP addresses; empty: any, off loopback.
    """

    def __init__(self, app: ASGIApp, secret: str, hosts: frozenset[str], cap: int = CAP) -> None:
        self._app = app
        self._secret = secret
        self._hosts = hosts
        self._cap = cap

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; the body of one that is refused is not read."""
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(PATIENCE):
                body = await self._body(receive)
        except ClientDisconnect:
            return
        except TimeoutError:
            await problem(408, f"the body took longer than {PATIENCE:g} s")(scope, receive, send)
            return
        if body is None:
            await self._too_large()(scope, receive, send)
            return
        await self._app(scope, _BufferedBody(body, receive), send)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        hosts = headers.getlist("host")
        host = hosts[0] if hosts else ""
        if len(hosts) > 1 or (self._hosts and host and not self._is_ours(host_name(host))):
            return problem(403, "the Host header names another site")
        if is_foreign(headers.get("origin"), host):
            return problem(403, "the request comes from a page of another site")
        if scope["path"] in OPEN and scope["method"] in ("GET", "HEAD"):
            return None
        shown = headers.get("authorization", "").encode("latin-1")
        if not is_authorized(shown, self._secret):
            refused = problem(401, "a worker answers only who shows the cluster secret: ask a gateway")
            refused.headers.update(_CHALLENGE)
            return refused
        if scope["method"] == "POST":
            if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                return problem(415, "the body must be application/json")
            length = headers.get("content-length", "")
            if length.isdigit() and int(length) > self._cap:
                return self._too_large()
        return None

    def _is_ours(self, name: str) -> bool:
        return name in self._hosts or is_address(name)

    async def _body(self, receive: Receive) -> bytes | None:
        """Return the body, None when it is over the cap; ClientDisconnect when the sender goes away."""
        chunks: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            chunk, more = message.get("body", b""), message.get("more_body", False)
            size += len(chunk)
            if size > self._cap:
                return None
            chunks.append(chunk)
        return b"".join(chunks)

    def _too_large(self) -> Response:
        return problem(413, f"the body is over the cap of {self._cap} bytes")


class _BufferedBody:
    """Returns a body that was read before, and after it what the connection has."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        body, self._body = self._body, None
        if body is None:
            return await self._receive()
        return {"type": "http.request", "body": body, "more_body": False}
