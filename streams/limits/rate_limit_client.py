"""Waiting for grants: calls queue here by limit, all that are ready travel to their home together."""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, NamedTuple

from streams import clock
from streams.define.limits import Rate
from streams.errors import StreamsError
from streams.limits.rate_window import terms

log = logging.getLogger(__name__)

AGAIN_S: Final = 0.3  # until a home that did not answer is looked for again
_WORRY: Final = 50  # times in a row without an answer, longer than any move takes, until people are told

Place = Callable[[str, str], str | None]
Send = Callable[[str, dict[str, Any]], Awaitable[list[dict[str, Any]]]]


class RateLimit(NamedTuple):
    """A limit's pool, where its home is, its name and its rate."""

    pool: str
    name: str
    rate: Rate


class _GrantRequest:
    """One call that waits for its grant; the id names one request, whose time to use a grant runs from `sent`."""

    __slots__ = ("future", "id", "sent")

    def __init__(self, future: asyncio.Future[float]) -> None:
        self.future = future
        self.id = ""
        self.sent = float("-inf")


class _RequestQueue:
    """The calls that wait for one limit, in order."""

    __slots__ = ("asking", "limit", "silent", "timer", "waiting")

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self.waiting: OrderedDict[_GrantRequest, None] = OrderedDict()
        self.asking = False
        self.silent = 0
        self.timer: asyncio.TimerHandle | None = None


class RateLimitClient:
    """All limits that calls of this worker wait for."""

    def __init__(
        self, place: Place, send: Send, spawn: Callable[[Coroutine[Any, Any, None]], object], worker: str
    ) -> None:
        """`place` finds the home of a limit, `send` asks there; `worker` is unique to this process."""
        self._place = place
        self._send = send
        self._spawn = spawn
        self._queues: dict[tuple[str, str], _RequestQueue] = {}
        self._number = itertools.count(1)
        self._mark = f"{worker}/{uuid.uuid4().hex[:8]}"
        self._worker = worker
        self._pumping = False
        self.requests = 0

    def waiting(self) -> dict[str, int]:
        """Return how many calls wait, by limit."""
        return {name: len(queue.waiting) for (_, name), queue in self._queues.items()}

    async def take(self, limit: RateLimit) -> float:
        """Wait for a grant and return until when (monotonic seconds) it may be used; cancelling gives up waiting."""
        queue = self._queues.get((limit.pool, limit.name))
        if queue is None:
            queue = self._queues[limit.pool, limit.name] = _RequestQueue(limit)
        queue.limit = limit
        request = _GrantRequest(asyncio.get_running_loop().create_future())
        queue.waiting[request] = None
        self._soon()
        try:
            return await request.future
        finally:
            queue.waiting.pop(request, None)
            self._forget_if_idle(queue)

    def _forget_if_idle(self, queue: _RequestQueue) -> None:
        """Forget a queue that nobody uses: there may be one for each host that calls have gone to."""
        key = (queue.limit.pool, queue.limit.name)
        if not queue.waiting and not queue.asking and queue.timer is None and self._queues.get(key) is queue:
            del self._queues[key]

    def news(self) -> None:
        """Look for homes again at once: workers have come, gone or taken something over."""
        self._soon()

    def _soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Ask each home for all limits that are ready, in one request."""
        self._pumping = False
        homes: dict[str, list[_RequestQueue]] = {}
        for queue in self._queues.values():
            if not queue.waiting or queue.asking or queue.timer is not None:
                continue
            url = self._place(queue.limit.pool, queue.limit.name)
            if url is None:
                self._silence(queue)
            else:
                homes.setdefault(url, []).append(queue)
        for url, queues in homes.items():
            for queue in queues:
                queue.asking = True
            self._spawn(self._ask(url, queues))

    async def _ask(self, url: str, queues: list[_RequestQueue]) -> None:
        now = clock.monotonic()
        asked = {queue.limit.name: self._head(queue, now) for queue in queues}
        body = {
            "worker": self._worker,
            "asks": [
                {
                    "limit": queue.limit.name,
                    "count": queue.limit.rate.count,
                    "per": queue.limit.rate.per,
                    "ids": [request.id for request in asked[queue.limit.name]],
                    "wanted": len(queue.waiting),
                }
                for queue in queues
            ],
        }
        self.requests += 1
        answers: dict[str, dict[str, Any]] = {}
        try:
            answers = {str(one["limit"]): one for one in await self._send(url, body)}
        except StreamsError as error:
            log.debug("no grants from %s: %s", url, error)
        for queue in queues:
            queue.asking = False
            answer = answers.get(queue.limit.name)
            if answer is None or answer.get("away"):
                self._silence(queue)
                continue
            queue.silent = 0
            self._give(queue, asked[queue.limit.name], frozenset(answer["granted"]))
            if queue.waiting:
                self._later(queue, float(answer["retry_after"]))
            else:
                self._forget_if_idle(queue)

    def _head(self, queue: _RequestQueue, now: float) -> list[_GrantRequest]:
        """Return the first tickets, as many as a window holds, each with an id whose time has not run out."""
        use = terms(queue.limit.rate).use
        head = list(itertools.islice(queue.waiting, queue.limit.rate.count))
        for request in head:
            if now - request.sent > use:
                request.id = f"{self._mark}/{next(self._number)}"
                request.sent = now
        return head

    def _give(self, queue: _RequestQueue, asked: list[_GrantRequest], granted: frozenset[str]) -> None:
        use = terms(queue.limit.rate).use
        for request in asked:
            deadline = request.sent + use
            if request.id not in granted:
                request.sent = float("-inf")  # refused: the next request is another one
            elif clock.monotonic() < deadline and not request.future.done():
                queue.waiting.pop(request, None)
                request.future.set_result(deadline)

    def _silence(self, queue: _RequestQueue) -> None:
        """Ask again soon; say once that a home is away for so long that somebody should look."""
        queue.silent += 1
        if queue.silent == _WORRY:
            limit, count = queue.limit, len(queue.waiting)
            log.warning("%d calls wait: no worker of pool %r answers for %s", count, limit.pool, limit.name)
        self._later(queue, AGAIN_S)

    def _later(self, queue: _RequestQueue, seconds: float) -> None:
        if queue.timer is None:
            queue.timer = asyncio.get_running_loop().call_later(seconds, self._ring, queue)

    def _ring(self, queue: _RequestQueue) -> None:
        queue.timer = None
        self._forget_if_idle(queue)
        self._soon()
