"""The arithmetic of concurrency: who holds which places of a limit, by leases that lapse with their holder; pure.

A worker always tells all the places that it holds and how many it wants, so that a lost message mends itself with the
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
        self._held: dict[str, tuple[frozenset[str], float]] = {}
        self._waiting: dict[str, float] = {}

    def used(self, now: float) -> int:
        """Return how many places are held."""
        for worker in [one for one, (_, until) in self._held.items() if until <= now]:
            del self._held[worker]
        return sum(len(held) for held, _ in self._held.values())

    def tell(self, worker: str, held: frozenset[str], now: float) -> None:
        """Take a worker's word for what it holds."""
        if held:
            self._held[worker] = (held, now + LEASE_S)
        else:
            self._held.pop(worker, None)

    def want(self, worker: str, wanted: list[str], size: int, now: float) -> list[str]:
        """Give the first of `wanted` what is free, leaving their share to others who wait; return what was given."""
        free = max(size - self.used(now), 0)
        others = sum(1 for other, until in self._waiting.items() if other != worker and until > now)
        given = wanted[: -(-free // (1 + others))]
        if given:
            held, _ = self._held.get(worker, (frozenset(), now))
            self._held[worker] = (held | frozenset(given), now + LEASE_S)
        if len(given) < len(wanted):
            self._waiting[worker] = now + LEASE_S
        else:
            self._waiting.pop(worker, None)
        return given

    def to_wake(self, worker: str, size: int, now: float) -> list[str]:
        """Return the workers that wait while places are free, except the one that is being answered."""
        if self.used(now) >= size:
            return []
        return [other for other, until in self._waiting.items() if other != worker and until > now]
