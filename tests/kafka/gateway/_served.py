"""The gateway as `serve` builds it, against a real broker, asked in process."""

from __future__ import annotations

import hashlib
import hmac
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

import httpx
import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette

from streams.app import discover
from streams.gateway.serve import application
from streams.local.declare import declare_topics
from streams.settings import Settings
from tests.faults.rig.waiting import PATIENCE_S

SECRET = "gateway-secret"


class OnAPort(NamedTuple):
    """A gateway that others reach, and its application to look into."""

    url: str
    app: Starlette


def settings(bootstrap: str, prefix: str) -> Settings:
    return Settings(
        kafka_bootstrap_servers=bootstrap,
        topic_prefix=prefix,
        partitions=2,
        webhook_secrets={"github": (SecretStr(SECRET),)},
    )


@asynccontextmanager
async def served(given: Settings, *, declared: bool = True) -> AsyncIterator[tuple[httpx.AsyncClient, Starlette]]:
    if declared:
        declare_topics(given, discover(given.apps))
    app = application(given)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", timeout=PATIENCE_S) as client,
    ):
        yield client, app


@contextmanager
def listening(app: Starlette, held: socket.socket) -> Iterator[None]:
    """Serve a gateway in a thread, on a socket that listens: nobody else gets its port, and nobody is refused."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [held]})
    thread.start()
    try:
        yield
    finally:
        app.state.streams.close()
        server.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def signed(body: bytes) -> str:
    return "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
