"""The gateway as `serve` builds it, against a real broker, asked in process."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx
from pydantic import SecretStr
from starlette.applications import Starlette

from streams.app import discover
from streams.gateway.serve import application
from streams.local.declare import declare_topics
from streams.settings import Settings

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
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", timeout=30) as client,
    ):
        yield client, app


def signed(body: bytes) -> str:
    return "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
