"""Asks the worker that owns a key, and goes on asking for a bounded time while partitions move."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from streams.clock import monotonic, now_ms
from streams.errors import StreamsError
from streams.query.placement import Placement
from streams.query.wire import WorkerResponse
from topics.partition import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.worker import WorkerHeartbeat

PATIENCE: Final = 3.0
"""Seconds for which a question is asked again while its key has no owner that answers."""

_ROUND: Final = 0.1
"""Seconds to wait for news of a move before the same owner is asked once more."""

_AT_ONCE: Final = 1.0
"""Seconds that an owner has to answer who would take a copy's answer as well."""

_OK: Final = 200
_NOT_READY: Final = 503
_MOVING: Final = frozenset({421, 502, _NOT_READY, 504})


class OwnerUnavailableError(StreamsError):
    """Raised by `Owners.ask` when no owner answered in time: the partition moves, or no worker of the pool runs."""


class OwnerClient(Protocol):
    """Asks a worker; `streams.query.wire.Wire` does."""

    async def get(self, url: str, seconds: float) -> WorkerResponse | None: ...  # noqa: D102
    async def post(self, url: str, body: bytes, seconds: float) -> WorkerResponse | None: ...  # noqa: D102


class Owners:
    """Follows the workers' heartbeats and forwards questions to the owner of a key."""

    def __init__(self, partitions: Callable[[], int], client: OwnerClient, patience: float = PATIENCE) -> None:
        self._partitions = partitions
        self._client = client
        self._patience = patience
        self._placement = Placement()
        self._moved = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def serve_here(self) -> None:
        """Belong to the running event loop, to which `take_heartbeat` hands heartbeats."""
        self._loop = asyncio.get_running_loop()

    def take_heartbeat(self, worker_id: str, beat: WorkerHeartbeat | None) -> None:
        """Take in one heartbeat from another thread; after the loop has ended nobody listens."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.take, worker_id, beat)

    def take(self, worker_id: str, beat: WorkerHeartbeat | None) -> None:
        """Take in one heartbeat, and wake the questions that wait for a move."""
        if self._placement.apply(worker_id, beat, now_ms()):
            self._moved.set()
            self._moved = asyncio.Event()

    def pools(self) -> list[str]:
        """Return the pools that have a live worker, `default` first."""
        return self._placement.pools(now_ms())

    def workers(self) -> list[dict[str, Any]]:
        """Return the workers of the last minutes for people to read."""
        return self._placement.workers(now_ms())

    def unserved(self, pool: str, agent: str) -> list[int]:
        """Return the partitions of a pool whose owner does not have `agent`."""
        return self._placement.unserved(pool, agent, now_ms())

    def last_running(self, pool: str) -> int:
        """Return how many runs a pool's workers had in memory at their last heartbeats."""
        return self._placement.last_running(pool)

    async def ask(self, pool: str, key: str, path: str) -> WorkerResponse:
        """Return the answer of the worker that owns `key`; OwnerUnavailableError when none gave one in time."""
        partition = partition_of(key.encode(), self._partitions())
        deadline = monotonic() + self._patience
        last: WorkerResponse | None = None
        while True:
            moved = self._moved
            url = self._placement.owner(pool, partition, now_ms())
            if url is not None:
                response = await self._get(url + path, deadline)
                if response is not None and response.status not in _MOVING:
                    return response
                last = response or last
            left = deadline - monotonic()
            if left <= 0:
                raise OwnerUnavailableError(_reason(pool, partition, url, last))
            await _wait(moved, min(left, _ROUND) if url is not None else left)

    async def ask_stale(self, pool: str, key: str, path: str) -> WorkerResponse:
        """Return the answer of the key's owner, or of a standby when the owner cannot be reached; else as `ask`.

        `path` begins with `/owner/`; standbys answer under `/standby/`, and only what they have counts: what a copy
        lacks may be there.
        """
        partition = partition_of(key.encode(), self._partitions())
        url = self._placement.owner(pool, partition, now_ms())
        response = None if url is None else await self._get(url + path, monotonic() + _AT_ONCE)
        if response is not None and response.status not in _MOVING:
            return response
        for standby in self._placement.standbys(pool, partition, now_ms()):
            response = await self._get(standby + path.replace("/owner/", "/standby/", 1), monotonic() + _AT_ONCE)
            if response is not None and response.status == _OK:
                return response
        return await self.ask(pool, key, path)

    async def ask_all(self, pool: str, path: str) -> list[WorkerResponse]:
        """Return answers of live workers of a pool that together cover every partition, each other ones.

        A worker that has just lost a partition answers without it, one that has just got it already with it: such
        answers would miss rows or have them twice, so all are asked again; OwnerUnavailableError when time is up.
        """
        deadline = monotonic() + self._patience
        while True:
            moved = self._moved
            found = await self._all(pool, path, deadline)
            if found is not None:
                return found
            left = deadline - monotonic()
            if left <= 0:
                raise OwnerUnavailableError(_incomplete(pool))
            await _wait(moved, min(left, _ROUND))

    async def post_all(self, pool: str, path: str, body: bytes) -> list[WorkerResponse]:
        """Return what the live workers of a pool say to a body, once; those that do not answer well are left out."""
        urls = self._placement.urls(pool, now_ms())
        response = await asyncio.gather(*(self._client.post(url + path, body, self._patience) for url in urls))
        return [answer for answer in response if answer is not None and answer.status == _OK]

    async def _all(self, pool: str, path: str, deadline: float) -> list[WorkerResponse] | None:
        """Return the answers of all live workers, None when a partition is missing, or stands in two answers."""
        count = self._partitions()
        if not self._placement.covers(pool, count, now_ms()):
            return None
        urls = self._placement.urls(pool, now_ms())
        answers = await asyncio.gather(*(self._get(url + path, deadline) for url in urls))
        found = [answer for answer in answers if answer is not None and answer.status not in _MOVING]
        reported = [answer.partitions for answer in found if answer.partitions is not None]
        if reported:
            # who owns nothing, or restores it, has nothing to say and need not be there
            counts = Counter(number for partitions in reported for number in partitions)
            return found if counts == Counter(range(count)) else None
        return found if len(found) == len(urls) else None

    async def _get(self, url: str, deadline: float) -> WorkerResponse | None:
        return await self._client.get(url, max(deadline - monotonic(), _ROUND))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _reason(pool: str, partition: int, url: str | None, last: WorkerResponse | None) -> str:
    if last is not None and last.status == _NOT_READY and (detail := _detail(last.body)):
        return f"Partition {partition} of pool '{pool}': {detail}; ask again in a second."
    if url is None:
        return f"No worker of pool '{pool}' owns partition {partition} now: ask again in a second, or start one."
    return f"The worker that owns partition {partition} of pool '{pool}' does not answer; ask again in a second."


def _detail(body: bytes) -> str:
    """Return what a worker's problem says, empty when it is none."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    return str(found.get("detail", "")) if isinstance(found, dict) else ""


def _incomplete(pool: str) -> str:
    return f"Not every partition of pool '{pool}' has a worker that answers at the moment; ask again in a second."
