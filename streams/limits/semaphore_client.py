"""Waiting for a place: runs and calls queue here by limit; the home is told what is held and who waits.

The home lets in whoever is first over all workers, so it is told the ranks of those who wait, of as many as it could
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
_WORRY: Final = 50  # times in a row without an answer, longer than any move takes, until people are told

Place = Callable[[str, str], str | None]
Send = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
Ranks = Callable[[int], list[int]]  # of so many who wait, lowest first


class Room(NamedTuple):
    """A limit's pool, where its home is, its name and its number of places."""

    pool: str
    name: str
    size: int


class _Hall:
    """What this worker holds and wants of one limit."""

    __slots__ = ("again", "asking", "changed", "held", "queue", "ranks", "room", "silent", "timer", "told", "waiting")

    def __init__(self, room: Room) -> None:
        self.room = room
        self.held = 0
        self.waiting: set[asyncio.Future[None]] = set()
        self.queue: list[tuple[int, int, asyncio.Future[None]]] = []  # a heap by rank, with some who have given up
        self.ranks: Ranks = self.own_ranks
        self.told: list[int] = []
        self.asking = False
        self.silent = 0
        self.changed = False  # there is something to tell
        self.again = False  # the home has called, perhaps behind an answer that is on its way
        self.timer: asyncio.TimerHandle | None = None

    def own_ranks(self, count: int) -> list[int]:
        """Return the ranks of those who wait with one of their own."""
        return first_ranks(self.queue, count, lambda one: one[2] in self.waiting)

    def wanted(self) -> list[int]:
        """Return the ranks that the home is to know: no more than it can let in."""
        return self.ranks(min(len(self.waiting), self.room.size, RANKS))

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


class Places:
    """All places that this worker holds."""

    def __init__(
        self, place: Place, send: Send, spawn: Callable[[Coroutine[Any, Any, None]], object], worker: str, url: str = ""
    ) -> None:
        """`place` finds the home of a limit, `send` asks there; the home calls `url` when something is free.

        `worker` is this process. `now` asks a home in this process, for what is held and for the ranks of who waits;
        None where there is none.
        """
        self._place = place
        self._send = send
        self._spawn = spawn
        self._worker = worker
        self._halls: dict[str, _Hall] = {}
        self.url = url
        self._number = itertools.count()
        self.now: Callable[[Room, str, int, list[int]], int | None] = _elsewhere

    def take_now(self, room: Room, rank: int) -> bool:
        """Take a place if the home is here and has one for us; nobody who waits is overtaken."""
        hall = self._hall(room)
        if hall.asking or hall.waiting or self.now(room, self._worker, hall.held, [rank]) != 1:
            return False
        hall.held += 1
        self._arm(hall, RENEW_S)
        return True

    async def take(self, room: Room, ranks: Ranks | None = None) -> None:
        """Wait for a place; cancelling gives up waiting.

        Who waits is ranked by its time, or by `ranks`, the same for all who wait for this room.
        """
        hall = self._hall(room)
        if ranks is not None:
            hall.ranks = ranks
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        hall.waiting.add(future)
        heapq.heappush(hall.queue, (clock.now_ms(), next(self._number), future))
        self._touch(hall)
        try:
            await future
        except asyncio.CancelledError:
            if future in hall.waiting:
                hall.give_up(future)
                self._touch(hall)  # nothing is to be reserved for it
            else:
                self.free(room)  # it had been given
            raise

    def reordered(self, room: Room) -> None:
        """Hear that others may be first now of those who wait by a queue; the home is told if that is so."""
        hall = self._hall(room)
        if hall.waiting and hall.wanted() != hall.told:
            self._touch(hall)

    def force(self, room: Room) -> None:
        """Take a place though none may be free: a run that has begun goes on; no other begins until there are fewer."""
        hall = self._hall(room)
        hall.held += 1
        self._touch(hall)

    def free(self, room: Room) -> None:
        """Give a place back."""
        hall = self._hall(room)
        hall.held -= 1
        self._touch(hall)

    def called(self, names: list[str]) -> None:
        """Hear from a home that something is free."""
        for name in names:
            if (hall := self._halls.get(name)) is not None and hall.waiting:
                hall.again = True
                self._touch(hall)

    def held(self, names: list[str]) -> dict[str, int]:
        """Return what is held of these limits, for a home that takes over."""
        return {name: self._halls[name].held for name in names if name in self._halls}

    def figures(self) -> dict[str, tuple[int, int]]:
        """Return how many places are held and waited for, by limit."""
        return {name: (hall.held, len(hall.waiting)) for name, hall in self._halls.items()}

    def _hall(self, room: Room) -> _Hall:
        hall = self._halls.get(room.name)
        if hall is None:
            hall = self._halls[room.name] = _Hall(room)
        hall.room = room
        return hall

    def _touch(self, hall: _Hall) -> None:
        """Tell the home: at once if it is here, else in the next turn of the loop, with all that changes until then."""
        hall.changed = True
        if hall.asking:
            return
        while hall.changed or hall.again:
            hall.told = hall.wanted()
            given = self.now(hall.room, self._worker, hall.held, hall.told)
            if given is None:
                break
            hall.changed = hall.again = False
            self._give(hall, given)
        else:
            self._arm(hall, RENEW_S)
            return
        hall.asking = True
        if hall.timer is not None:
            hall.timer.cancel()
            hall.timer = None
        self._spawn(self._talk(hall))

    async def _talk(self, hall: _Hall) -> None:
        """Tell and ask until there is nothing new; one message of a limit is under way at a time, so none overtakes."""
        wait = RENEW_S
        while hall.changed or hall.again:
            hall.changed = hall.again = False
            wait = await self._tell(hall)
        hall.asking = False
        self._arm(hall, wait)

    def _arm(self, hall: _Hall, seconds: float) -> None:
        """Tell again in a while, as long as there is something to tell."""
        if hall.timer is None and (hall.held or hall.waiting):
            hall.timer = asyncio.get_running_loop().call_later(seconds, self._ring, hall)

    def _ring(self, hall: _Hall) -> None:
        hall.timer = None
        self._touch(hall)

    def _give(self, hall: _Hall, given: int) -> None:
        """Let the first who wait in."""
        for _ in range(given):
            future = hall.first()
            if future is None:
                hall.changed = True  # somebody has given up meanwhile: the next message takes less
                break
            hall.held += 1  # also for one that is being cancelled: it gives the place back itself
            if not future.done():
                future.set_result(None)
        if given and given == len(hall.told) and hall.waiting:
            hall.changed = True  # the home has not heard of those behind

    async def _tell(self, hall: _Hall) -> float:
        room = hall.room
        url = self._place(room.pool, room.name)
        if url is None:
            return self._silence(hall)
        hall.told = hall.wanted()
        body = {
            "worker": self._worker,
            "url": self.url,
            "limit": room.name,
            "pool": room.pool,
            "size": room.size,
            "held": hall.held,
            "wanted": len(hall.waiting),
            "ranks": hall.told,
        }
        try:
            answer = await self._send(url, body)
        except StreamsError as error:
            log.debug("no places from %s: %s", url, error)
            return self._silence(hall)
        if answer.get("away"):
            return self._silence(hall)
        hall.silent = 0
        self._give(hall, int(answer["given"] or 0))
        return RENEW_S

    @staticmethod
    def _silence(hall: _Hall) -> float:
        """Return when to ask again; say once that a home is away for so long that somebody should look."""
        hall.silent += 1
        if hall.silent == _WORRY and hall.waiting:
            room, count = hall.room, len(hall.waiting)
            log.warning("%d wait for a place: no worker of pool %r answers for %s", count, room.pool, room.name)
        return AGAIN_S


def _elsewhere(_room: Room, _worker: str, _held: int, _ranks: list[int]) -> None:
    return
