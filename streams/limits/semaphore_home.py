"""The home of places: who holds them is known from the workers themselves, so nothing is written down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from streams import clock
from streams.errors import StreamsError
from streams.limits.permits import LEASE_S, PermitAllocator

if TYPE_CHECKING:
    from streams.limits.peers import Peers

log = logging.getLogger(__name__)

_STEP_S: Final = 0.2  # between questions to a worker that should be alive and does not answer
COME_S: Final = 1.0  # a worker that is called asks at once; what is reserved for it longer goes to the next

Held = Callable[[list[str]], dict[str, int]]
Wake = Callable[[str, list[str]], Coroutine[Any, Any, bool]]


class SemaphoreHome:
    """The places of all limits whose home is one assignment; a new home first asks all live workers what they hold."""

    def __init__(
        self, peers: Peers, own: Held, spawn: Callable[[Coroutine[Any, Any, None]], object], call: Wake
    ) -> None:
        """`own` returns what this worker itself holds, `call` notifies a worker at a URL that it is next."""
        self._own = own
        self._peers = peers
        self._spawn = spawn
        self._call = call
        self._slots: dict[str, PermitAllocator] = {}
        self._sizes: dict[str, int] = {}
        self._urls: dict[str, str] = {}
        self.live = True

    async def answer(self, ask: dict[str, Any]) -> dict[str, Any]:
        """Take in what a worker holds, and give it what it wants as far as places are free."""
        limit, worker, size = str(ask["limit"]), str(ask["worker"]), int(ask["size"])
        self._urls[worker] = str(ask["url"])
        if limit not in self._slots:
            await self._take_over(limit)
        ranks = ask.get("ranks")
        if ranks is None:  # a worker of an older version, which reports only how many wait
            ranks = [clock.now_ms()] * min(int(ask["wanted"]), size)
        return {"given": self.now(limit, worker, size, int(ask["held"]), [int(rank) for rank in ranks])}

    def now(self, limit: str, worker: str, size: int, held: int, ranks: Sequence[int]) -> int | None:
        """Answer at once; None if this home has yet to learn who holds places of the limit."""
        slots = self._slots.get(limit)
        if slots is None:
            return None
        now = clock.monotonic()
        self._sizes[limit] = size
        slots.report_held(worker, held, now)
        given = slots.want(worker, ranks, size, now)
        self._call_next(limit, slots)
        return given

    def holders(self) -> set[str]:
        """Return the workers that hold a place or wait for one."""
        return set().union(*(slots.holders() for slots in self._slots.values()))

    def left(self, worker: str) -> None:
        """Release the places of a worker that is gone, and let in who is next."""
        self._urls.pop(worker, None)
        for limit, slots in self._slots.items():
            if slots.left(worker):
                self._call_next(limit, slots)

    def _call_next(self, limit: str, slots: PermitAllocator) -> None:
        for other, number in slots.to_call(self._sizes.get(limit, 0), clock.monotonic()).items():
            self._spawn(self._offer(limit, slots, other, number))

    async def _offer(self, limit: str, slots: PermitAllocator, worker: str, number: int) -> None:
        """Call a worker that is next; if it does not come, its place goes to the next one."""
        if await self._call(self._urls.get(worker, self._peers.url), [limit]):
            await asyncio.sleep(COME_S)
        if self.live and slots.silent(worker, number):
            self._call_next(limit, slots)

    async def _take_over(self, limit: str) -> None:
        """Learn who holds places of a limit; who asks meanwhile waits, too."""
        slots, asked = PermitAllocator(), set[str]()
        end = clock.monotonic() + LEASE_S
        while self.live:
            missing = sorted(set(self._peers.others()) - asked)
            if not missing and self._peers.settled():
                break
            if clock.monotonic() > end:
                log.warning("%s do not tell which places of %s they hold; going on without", missing, limit)
                break
            answers = await asyncio.gather(*(self._held(url, limit) for url in missing))
            for url, answer in zip(missing, answers, strict=True):
                if answer is not None:
                    asked.add(url)
                    slots.report_held(str(answer["worker"]), int(answer["held"].get(limit, 0)), clock.monotonic())
            if None in answers or not self._peers.settled():
                await asyncio.sleep(_STEP_S)  # no event reports that a worker answers again
        slots.report_held(str(self._peers.holder), self._own([limit]).get(limit, 0), clock.monotonic())
        self._slots.setdefault(limit, slots)

    async def _held(self, url: str, limit: str) -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] = await self._peers.post(url, "/owner/held", {"limits": [limit]}, 1.0)
        except StreamsError:
            return None
        return answer
