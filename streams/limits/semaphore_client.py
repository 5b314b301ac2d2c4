"""Waiting for a place: runs and calls queue here by limit; the home gets what is held and who waits.

The home lets in whoever is first over all workers, so it gets the ranks of those who wait, of as many as it could
let in. Calls of tools are ranked by their time. Runs are ranked by the queue that they wait in, which chooses the run
when a place is there: only their number waits here.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, NamedTuple

from streams import clock
from streams.errors import StreamsError
from streams.limits.heap_ranks import first_ranks
from streams.limits.permits import RANKS, RENEW_S

log = logging.getLogger(__name__)

AGAIN_S: Final = 0.3
_SPARE: Final = 16
_WORRY: Final = 50  # times in a row without an answer, longer than any move takes, until it is logged

Place = Callable[[str, str], str | None]
Send = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
Ranks = Callable[[int], list[int]]  # of so many who wait, lowest first
AskHere = Callable[["Semaphore", str, int, list[int]], "int | None"]
"""Returns how many permits a home in this process gives for what is held and the ranks of who waits; None: no home."""


class Semaphore(NamedTuple):
    """A limit's pool, where its home is, its name and its number of places."""

    pool: str
    name: str
    size: int


class _LocalPermits:
    """What this worker holds and wants of one limit."""

    __slots__ = (
        "again",
        "asking",
        "changed",
        "held",
        "queue",
        "ranks",
        "reported_ranks",
        "semaphore",
        "silent",
        "timer",
        "waiting",
    )

    def __init__(self, semaphore: Semaphore) -> None:
        self.semaphore = semaphore
        self.held = 0
        self.waiting: set[asyncio.Future[None]] = set()
        self.queue: list[tuple[int, int, asyncio.Future[None]]] = []  # a heap by rank, with some who have given up
        self.ranks: Ranks = self.own_ranks
        self.reported_ranks: list[int] = []
        self.asking = False
        self.silent = 0
        self.changed = False  # there is something to report
        self.again = False  # the home has called, perhaps behind an answer that is on its way
        self.timer: asyncio.TimerHandle | None = None

    def own_ranks(self, count: int) -> list[int]:
        """Return the ranks of those who wait with one of their own."""
        return first_ranks(self.queue, count, lambda one: one[2] in self.waiting)

    def wanted(self) -> list[int]:
        """Return the ranks that the home is to know: no more than it can let in."""
        return self.ranks(min(len(self.waiting), self.semaphore.size, RANKS))

    def give_up(self, future: asyncio.Future[None]) -> None:
        """Wait no more; the heap is made anew when most of it has given up."""
        self.waiting.discard(future)
        if len(self.queue) > 2 * len(self.waiting) + _SPARE:
            self.queue = [one for one in self.queue if one[2] in self.waiting]
            heapq.heapify(self.queue)

    def first(self) -> asyncio.Future[None] | None:
        """Take out who is first."""
        while self.queue:
            future = heapq.heappop(self.queue)[2]
            if future in self.waiting:
                self.waiting.discard(future)
                return future
        return None


class SemaphoreClient:
    """All places that this worker holds."""

    def __init__(
        self,
        place: Place,
        send: Send,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        worker: str,
        url: str = "",
        *,
        now: AskHere | None = None,
    ) -> None:
        """`place` finds the home of a limit, `send` asks there; the home calls `url` when something is free.

        `worker` is this process. `now` asks a home in this process.
        """
        self._place = place
        self._send = send
        self._spawn = spawn
        self._worker = worker
        self._locals: dict[str, _LocalPermits] = {}
        self._url = url
        self._number = itertools.count()
        self._now = now or _elsewhere

    def begin(self, url: str) -> None:
        """Ask from now on to be called at `url`, where this worker is reached."""
        self._url = url

    def take_now(self, semaphore: Semaphore, rank: int) -> bool:
        """Take a place if the home is here and has one for us; nobody who waits is overtaken."""
        local = self._local(semaphore)
        if local.asking or local.waiting or self._now(semaphore, self._worker, local.held, [rank]) != 1:
            return False
        local.held += 1
        self._arm(local, RENEW_S)
        return True

    async def take(self, semaphore: Semaphore, ranks: Ranks | None = None) -> None:
        """Wait for a place; cancelling gives up waiting.

        Who waits is ranked by its time, or by `ranks`, the same for all who wait for this room.
        """
        local = self._local(semaphore)
        if ranks is not None:
            local.ranks = ranks
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        local.waiting.add(future)
        heapq.heappush(local.queue, (clock.now_ms(), next(self._number), future))
        self._touch(local)
        try:
            await future
        except asyncio.CancelledError:
            if future in local.waiting:
                local.give_up(future)
                self._touch(local)  # nothing is to be reserved for it
            else:
                self.free(semaphore)  # it had been given
            raise

    def reordered(self, semaphore: Semaphore) -> None:
        """Look whether others are first now of those who wait by a queue; if so, report it to the home."""
        local = self._local(semaphore)
        if local.waiting and local.wanted() != local.reported_ranks:
            self._touch(local)

    def force(self, semaphore: Semaphore) -> None:
        """Take a place though none may be free: a run that has begun goes on; no other begins until there are fewer."""
        local = self._local(semaphore)
        local.held += 1
        self._touch(local)

    def free(self, semaphore: Semaphore) -> None:
        """Release a permit."""
        local = self._local(semaphore)
        local.held -= 1
        self._touch(local)

    def called(self, names: list[str]) -> None:
        """Take the call of a home that something is free."""
        for name in names:
            if (local := self._locals.get(name)) is not None and local.waiting:
                local.again = True
                self._touch(local)

    def held(self, names: list[str]) -> dict[str, int]:
        """Return what is held of these limits, for a home that takes over."""
        return {name: self._locals[name].held for name in names if name in self._locals}

    def figures(self) -> dict[str, tuple[int, int]]:
        """Return how many places are held and waited for, by limit."""
        return {name: (local.held, len(local.waiting)) for name, local in self._locals.items()}

    def _local(self, semaphore: Semaphore) -> _LocalPermits:
        local = self._locals.get(semaphore.name)
        if local is None:
            local = self._locals[semaphore.name] = _LocalPermits(semaphore)
        local.semaphore = semaphore
        return local

    def _touch(self, local: _LocalPermits) -> None:
        """Notify the home: at once if it is here, else in the loop's next turn, with all that changes until then."""
        local.changed = True
        if local.asking:
            return
        while local.changed or local.again:
            local.reported_ranks = local.wanted()
            given = self._now(local.semaphore, self._worker, local.held, local.reported_ranks)
            if given is None:
                break
            local.changed = local.again = False
            self._give(local, given)
        else:
            self._arm(local, RENEW_S)
            return
        local.asking = True
        if local.timer is not None:
            local.timer.cancel()
            local.timer = None
        self._spawn(self._talk(local))

    async def _talk(self, local: _LocalPermits) -> None:
        """Report and ask until there is nothing new; a limit has one message under way at a time, so none overtakes."""
        wait = RENEW_S
        while local.changed or local.again:
            local.changed = local.again = False
            wait = await self._report(local)
        local.asking = False
        self._arm(local, wait)

    def _arm(self, local: _LocalPermits, seconds: float) -> None:
        """Report again in a while, as long as there is something to report."""
        if local.timer is None and (local.held or local.waiting):
            local.timer = asyncio.get_running_loop().call_later(seconds, self._ring, local)

    def _ring(self, local: _LocalPermits) -> None:
        local.timer = None
        self._touch(local)

    def _give(self, local: _LocalPermits, given: int) -> None:
        """Let the first who wait in."""
        for _ in range(given):
            future = local.first()
            if future is None:
                local.changed = True  # somebody has given up meanwhile: the next message takes less
                break
            local.held += 1  # also for one that is being cancelled: it gives the place back itself
            if not future.done():
                future.set_result(None)
        if given and given == len(local.reported_ranks) and local.waiting:
            local.changed = True  # the home does not know those behind

    async def _report(self, local: _LocalPermits) -> float:
        semaphore = local.semaphore
        url = self._place(semaphore.pool, semaphore.name)
        if url is None:
            return self._silence(local)
        local.reported_ranks = local.wanted()
        body = {
            "worker": self._worker,
            "url": self._url,
            "limit": semaphore.name,
            "pool": semaphore.pool,
            "size": semaphore.size,
            "held": local.held,
            "wanted": len(local.waiting),
            "ranks": local.reported_ranks,
        }
        try:
            answer = await self._send(url, body)
        except StreamsError as error:
            log.debug("no places from %s: %s", url, error)
            return self._silence(local)
        if answer.get("away"):
            return self._silence(local)
        local.silent = 0
        self._give(local, int(answer["given"] or 0))
        return RENEW_S

    @staticmethod
    def _silence(local: _LocalPermits) -> float:
        """Return when to ask again; say once that a home is away for so long that somebody should look."""
        local.silent += 1
        if local.silent == _WORRY and local.waiting:
            semaphore, count = local.semaphore, len(local.waiting)
            log.warning(
                "%d wait for a place: no worker of pool %r answers for %s", count, semaphore.pool, semaphore.name
            )
        return AGAIN_S


def _elsewhere(_semaphore: Semaphore, _worker: str, _held: int, _ranks: list[int]) -> None:
    return
