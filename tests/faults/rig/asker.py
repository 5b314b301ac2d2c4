"""A client that costs little, so that what is measured is what answers: many requests at once in one process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
import orjson

from tests.faults.rig.waiting import PATIENCE_S


class Said(NamedTuple):
    """An answer."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Return the body's value."""
        return orjson.loads(self.body)


class AskError(Exception):
    """Raised when a connection fails or no answer comes in time."""


class Asker:
    """Requests to one base URL."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        """Connect when the first is made; each has `headers`."""
        self._url = url
        self._headers = headers
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str, **query: str) -> Said:
        """Ask; raises AskError."""
        return await self._ask("GET", path, params=query)

    async def post(self, path: str, body: Any) -> Said:
        """Send JSON; raises AskError."""
        return await self._ask("POST", path, data=orjson.dumps(body), headers={"content-type": "application/json"})

    async def _ask(self, method: str, path: str, **more: Any) -> Said:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=3)
            self._session = aiohttp.ClientSession(
                self._url, headers=self._headers, timeout=timeout, connector=connector
            )
        try:
            async with self._session.request(method, path, **more) as answer:
                return Said(answer.status, await answer.read())
        except (aiohttp.ClientError, OSError) as error:
            raise AskError(f"{method} {path}: {error!r}") from error

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
