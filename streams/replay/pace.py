"""How fast a replay goes, whether it shall stop, and when its lanes note how far they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from streams import clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

_NOTE_S: Final = 1.0  # how much work a killed replay makes again, at most, in each partition


class ReplayPace:
    """Lets through so many a second, evenly, over all lanes; none once it shall stop."""

    def __init__(self, rate: float | None) -> None:
        self._gap = 0.0 if rate is None else 1 / rate
        self._next = clock.monotonic()
        self._stop = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """Whether somebody asked to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Let nothing more begin."""
        self._stop.set()

    async def turn(self) -> bool:
        """Wait until it is the next one's time; return False when it shall not begin any more."""
        if self._gap and not self.stopped:
            wait = self._next - clock.monotonic()
            self._next = max(self._next, clock.monotonic()) + self._gap
            if wait > 0:
                try:
                    async with asyncio.timeout(wait):  # the time itself is what is waited for
                        await self._stop.wait()
                except TimeoutError:
                    return True
        return not self.stopped


class Marks:
    """Notes the next offset of each lane now and then, each time after all that was made before it is written."""

    def __init__(
        self, flush: Callable[[], Awaitable[None]], note: Callable[[int, int], Awaitable[None]] | None
    ) -> None:
        self._flush = flush
        self._note = note
        self._at: dict[int, float] = {}

    async def reached(self, partition: int, offset: int, *, last: bool = False) -> None:
        """Note that everything before an offset of a partition is done."""
        if self._note is None:
            return
        if not last and clock.monotonic() - self._at.setdefault(partition, clock.monotonic()) < _NOTE_S:
            return
        await self._flush()
        await self._note(partition, offset)
        self._at[partition] = clock.monotonic()


async def side_by_side(lanes: Iterable[Coroutine[None, None, None]]) -> None:
    """Run lanes until all are done; the first error ends them all and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for lane in lanes:
                group.create_task(lane)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
