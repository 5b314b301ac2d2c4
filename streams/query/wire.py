"""Questions to workers over HTTP, hundreds at a time, each with a time of its own.

aiohttp and not httpx: httpx's pool looks at every connection that it holds, with a system call for each idle one, at
every request (encode/httpx issue 3215), so that a gateway with a hundred questions under way does little else.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, NamedTuple

import aiohttp
import orjson
from yarl import URL

from streams.query.cluster import authorization

log = logging.getLogger(__name__)

MOST: Final = 1_000
"""Connections to workers at once; what is asked beyond waits for a free one, within its time."""

_IDLE_S: Final = 4.0  # below the five seconds after which a worker's server closes an idle connection


class WorkerResponse(NamedTuple):
    """The answer of a worker, unread, so that it can be passed on."""

    status: int
    body: bytes
    retry_after: str | None = None
    partitions: frozenset[int] | None = None
    """The partitions that the answer covers, where it covers all that the worker owns."""


PARTITIONS: Final = "x-streams-partitions"
"""Header in which a worker names the partitions that an answer covers."""


_UNAUTHORIZED: Final = 401
REFUSED: Final = "the worker refuses this process's cluster secret: set the same STREAMS_CLUSTER_SECRET for both"


class Wire:
    """The connections of one event loop; opened with the first question."""

    def __init__(self, secret: str) -> None:
        """Show `secret`, the cluster's, with every question."""
        self._headers = {"content-type": "application/json", "authorization": authorization(secret)}
        self._session: aiohttp.ClientSession | None = None
        self._refusing: set[str] = set()

    async def get(self, url: str, seconds: float) -> WorkerResponse | None:
        """Return the answer, None when there is none within `seconds`."""
        return await self._ask("GET", url, None, seconds)

    async def post(self, url: str, body: bytes, seconds: float) -> WorkerResponse | None:
        """Return the answer to a JSON body, None when there is none within `seconds`."""
        return await self._ask("POST", url, body, seconds)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, method: str, url: str, body: bytes | None, seconds: float) -> WorkerResponse | None:
        session = self._session
        if session is None:
            session = self._session = _session(self._headers)
        try:
            async with asyncio.timeout(seconds):  # one timer: aiohttp's own would be a second one
                target = URL(url, encoded=True)
                async with session.request(method, target, data=body, allow_redirects=False) as response:
                    content = await response.read()
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            log.debug("no answer from %s: %r", url, error)
            return None
        if response.status == _UNAUTHORIZED:
            return self._refused(target)
        headers = response.headers
        return WorkerResponse(
            response.status, content, headers.get("retry-after"), _partitions(headers.get(PARTITIONS))
        )

    def _refused(self, target: URL) -> WorkerResponse:
        """Return a worker's refusal as an answer that it cannot give; each worker's is logged once."""
        worker = str(target.origin())
        if worker not in self._refusing:
            self._refusing.add(worker)
            log.error("%s: %s", worker, REFUSED)
        return WorkerResponse(503, orjson.dumps({"detail": REFUSED}))


def _session(headers: dict[str, str]) -> aiohttp.ClientSession:
    options: dict[str, Any] = {"limit": MOST, "keepalive_timeout": _IDLE_S}
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(**options),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        headers=headers,
    )


def _partitions(text: str | None) -> frozenset[int] | None:
    return None if text is None else frozenset(int(number) for number in text.split(",") if number)
