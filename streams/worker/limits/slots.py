"""The arithmetic of concurrency: who holds how many places of a limit, by leases that lapse with their holder; pure.

A worker always tells how many places it holds and how many more it wants, so that a lost message mends itself with the
next one. What a dead worker held is free again when its lease lapses.
"""

from __future__ import annotations

from typing import Final

LEASE_S: Final = 15.0  # longer than a session: what a worker was doing has ended, or goes on elsewhere, by then
RENEW_S: Final = 4.0


class Slots:
    """The places of one limit at its home; times are the home's monotonic seconds."""

    __slots__ = ("_held", "_waiting")

    def __init__(self) -> None:
        """Know of no holder."""
        self._held: dict[str, tuple[int, float]] = {}
        self._waiting: dict[str, float] = {}

    def used(self, now: float) -> int:
        """Return how many places are held."""
        for worker in [one for one, (_, until) in self._held.items() if until <= now]:
            del self._held[worker]
        return sum(held for held, _ in self._held.values())

    def tell(self, worker: str, held: int, now: float) -> None:
        """Take a worker's word for what it holds."""
        if held:
            self._held[worker] = (held, now + LEASE_S)
        else:
            self._held.pop(worker, None)

    def want(self, worker: str, wanted: int, size: int, now: float) -> int:
        """Give as many of `wanted` as are free, leaving their share to others who wait; return how many."""
        free = max(size - self.used(now), 0)
        others = sum(1 for other, until in self._waiting.items() if other != worker and until > now)
        given = min(wanted, -(-free // (1 + others)))
        if given:
            held, _ = self._held.get(worker, (0, now))
            self._held[worker] = (held + given, now + LEASE_S)
        if given < wanted:
            self._waiting[worker] = now + LEASE_S
        else:
            self._waiting.pop(worker, None)
        return given

    def to_wake(self, worker: str, size: int, now: float) -> list[str]:
        """Return the workers that wait while places are free, except the one that is being answered."""
        if not self._waiting or self.used(now) >= size:
            return []
        return [other for other, until in self._waiting.items() if other != worker and until > now]
