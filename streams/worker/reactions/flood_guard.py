"""The flood guard: when a reaction gives up on one event after the other, its events wait instead of dying.

A dependency that is down would else turn a whole topic into dead letters. A tripped guard parks failing events and has
them tried again every half minute; the first success resets it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from streams import clock

_WINDOW_S: Final = 60.0
RETRY_S: Final = 30.0


class FloodGuard:
    """Counts what each consumer gave up lately."""

    def __init__(self, threshold: int) -> None:
        """Trip at `threshold` given-up events within a minute without a success between them."""
        self._threshold = threshold
        self._given_up: dict[str, deque[float]] = {}
        self.tripped: dict[str, float] = {}

    def is_flooded(self, consumer: str) -> bool:
        """Note an event that is about to be given up; return whether it must wait instead."""
        now = clock.monotonic()
        times = self._given_up.setdefault(consumer, deque())
        times.append(now)
        while times[0] < now - _WINDOW_S:
            times.popleft()
        if len(times) > self._threshold:
            self.tripped.setdefault(consumer, now)
            times.pop()
        return consumer in self.tripped

    def succeeded(self, consumer: str) -> None:
        """Reset the guard: the consumer works."""
        if consumer in self._given_up:
            del self._given_up[consumer]
        self.tripped.pop(consumer, None)
