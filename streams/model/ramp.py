"""Spreads a burst over many turns of the event loop, so that thousands of calls at once do not stall it."""

from __future__ import annotations

import asyncio
from collections import deque


class Ramp:
    """Lets a few callers through in each turn of the loop; the others wait their turn in order.

    Five thousand requests that start in one turn, or answers that come in one, keep the loop busy for seconds:
    heartbeats and timers wait.
    """

    def __init__(self, starts_per_turn: int = 4) -> None:
        self._starts = starts_per_turn
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._pumping = False

    async def turn(self) -> None:
        """Return when it is the caller's turn to start."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiter)
        if not self._pumping:
            self._pumping = True
            loop.call_soon(self._pump, loop)
        await waiter

    def _pump(self, loop: asyncio.AbstractEventLoop) -> None:
        woken = 0
        while self._waiting and woken < self._starts:
            waiter = self._waiting.popleft()
            if not waiter.done():  # cancelled while it waited
                waiter.set_result(None)
                woken += 1
        self._pumping = bool(self._waiting)
        if self._pumping:
            loop.call_soon(self._pump, loop)
