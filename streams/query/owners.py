"""Asks the worker that owns a key, and goes on asking for a bounded time while partitions move."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx

from streams.clock import monotonic, now_ms
from streams.errors import StreamsError
from streams.query.placement import Placement
from topics.partition import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.worker import WorkerHeartbeat

log = logging.getLogger(__name__)

PATIENCE: Final = 3.0
"""Seconds for which a question is asked again while its key has no owner that answers."""

_ROUND: Final = 0.1
"""Seconds to wait for news of a move before the same owner is asked once more."""

_MOVING: Final = frozenset({421, 502, 503, 504})


class OwnerUnavailableError(StreamsError):
    """Raised by `Owners.ask` when no owner answered in time: the partition moves, or no worker of the pool runs."""


class Answer(NamedTuple):
    """What a worker said, unread, so that it can be passed on."""

    status: int
    body: bytes
    retry_after: str | None = None


class Owners:
    """Follows the workers' heartbeats and forwards questions to the owner of a key."""

    def __init__(self, partitions: Callable[[], int], client: httpx.AsyncClient, patience: float = PATIENCE) -> None:
        self._partitions = partitions
        self._client = client
        self._patience = patience
        self._placement = Placement()
        self._moved = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def serve_here(self) -> None:
        """Belong to the running event loop, to which `hear` will hand heartbeats."""
        self._loop = asyncio.get_running_loop()

    def hear(self, worker_id: str, beat: WorkerHeartbeat | None) -> None:
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
        """Return every known worker for people to read."""
        return self._placement.workers(now_ms())

    async def ask(self, pool: str, key: str, path: str) -> Answer:
        """Return the answer of the worker that owns `key`; OwnerUnavailableError when none gave one in time."""
        partition = partition_of(key.encode(), self._partitions())
        deadline = monotonic() + self._patience
        last: Answer | None = None
        while True:
            moved = self._moved
            url = self._placement.owner(pool, partition, now_ms())
            if url is not None:
                last = await self._get(url + path, deadline)
                if last is not None and last.status not in _MOVING:
                    return last
            left = deadline - monotonic()
            if left <= 0:
                raise OwnerUnavailableError(_reason(pool, partition, url))
            await _wait(moved, min(left, _ROUND) if url is not None else left)

    async def ask_all(self, pool: str, path: str) -> list[Answer]:
        """Return the answers of all live workers of a pool, for scans; OwnerUnavailableError if one is silent."""
        deadline = monotonic() + self._patience
        while not self._placement.covers(pool, self._partitions(), now_ms()):
            left = deadline - monotonic()
            if left <= 0:
                raise OwnerUnavailableError(_incomplete(pool))
            await _wait(self._moved, left)
        urls = self._placement.urls(pool, now_ms())
        answers = await asyncio.gather(*(self._get(url + path, deadline) for url in urls))
        found = [answer for answer in answers if answer is not None and answer.status not in _MOVING]
        if len(found) != len(urls):
            raise OwnerUnavailableError(_incomplete(pool))
        return found

    async def _get(self, url: str, deadline: float) -> Answer | None:
        left = max(deadline - monotonic(), _ROUND)
        try:
            async with asyncio.timeout(left):  # the client's own times are those of each phase, and add up
                response = await self._client.get(url, timeout=left)
        except (httpx.HTTPError, TimeoutError) as error:
            log.debug("no answer from %s: %s", url, error)
            return None
        return Answer(response.status_code, response.content, response.headers.get("retry-after"))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _reason(pool: str, partition: int, url: str | None) -> str:
    if url is None:
        return f"No worker of pool '{pool}' owns partition {partition} at the moment; ask again in a second."
    return f"The worker that owns partition {partition} of pool '{pool}' does not answer; ask again in a second."


def _incomplete(pool: str) -> str:
    return f"Not every partition of pool '{pool}' has a worker that answers at the moment; ask again in a second."
