"""The arithmetic of concurrency: who holds how many permits of a limit, and who is next; pure.

A worker always reports how many permits it holds and the ranks of those who wait in it, best first, so that a lost
message mends itself with the next one. A rank is a time in milliseconds: that of the request, plus the head start of
its priority (see `streams.worker.runs.dispatcher`). Of all who wait anywhere the lowest rank gets the next permit; a
permit whose next one waits in another worker is reserved for that one, which is called.

What a dead worker held is free when the home learns that it is gone, and at the latest when its lease lapses.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence
from typing import Final

LEASE_S: Final = 15.0  # longer than a session: what a worker was doing has ended, or goes on elsewhere, by then
RENEW_S: Final = 4.0
RANKS: Final = 500  # that one message carries at most; permits beyond are asked for with the next message


class _WaitingWorker:
    """Who waits in one worker, until when that counts, and the number of the call that it has not answered, or 0."""

    __slots__ = ("called", "ranks", "until")

    def __init__(self, ranks: list[int], until: float) -> None:
        self.ranks = ranks
        self.until = until
        self.called = 0


class PermitAllocator:
    """The permits of one limit at its home; times are the home's monotonic seconds."""

    __slots__ = ("_calls", "_held", "_waiting")

    def __init__(self) -> None:
        """Begin without a holder."""
        self._held: dict[str, tuple[int, float]] = {}
        self._waiting: dict[str, _WaitingWorker] = {}
        self._calls = itertools.count(1)

    def used(self, now: float) -> int:
        """Return how many permits are held."""
        for worker in [one for one, (_, until) in self._held.items() if until <= now]:
            del self._held[worker]
        return sum(held for held, _ in self._held.values())

    def holders(self) -> set[str]:
        """Return the workers that hold a permit or wait for one."""
        return self._held.keys() | self._waiting.keys()

    def report_held(self, worker: str, held: int, now: float) -> None:
        """Take a worker's word for what it holds."""
        if held:
            self._held[worker] = (held, now + LEASE_S)
        else:
            self._held.pop(worker, None)

    def want(self, worker: str, ranks: Sequence[int], size: int, now: float) -> int:
        """Grant a permit to each of `ranks`, sorted, that is next; return to how many."""
        self._waiting.pop(worker, None)
        free = size - self.used(now)
        given = 0
        if free > 0 and ranks:
            others = list(itertools.islice(self._others(now), free))
            # With an equal rank the one that asks goes first: the other one is not here yet.
            while given < min(free, len(ranks)) and self._is_next(ranks[given], others, free - given):
                given += 1
        if given:
            held, _ = self._held.get(worker, (0, now))
            self._held[worker] = (held + given, now + LEASE_S)
        if given < len(ranks):
            self._waiting[worker] = _WaitingWorker(list(ranks[given:]), now + LEASE_S)
        return given

    def to_call(self, size: int, now: float) -> dict[str, int]:
        """Return the workers in which somebody waits who is next, each with the number of this call."""
        free = size - self.used(now)
        if free <= 0 or not self._waiting:
            return {}
        called: dict[str, int] = {}
        for _, worker in itertools.islice(self._others(now), free):
            waiting = self._waiting[worker]
            if not waiting.called:
                waiting.called = called[worker] = next(self._calls)
        return called

    def silent(self, worker: str, call: int) -> bool:
        """Pass on the permits of a worker that did not come after a call; False if it has come meanwhile."""
        waiting = self._waiting.get(worker)
        if waiting is None or waiting.called != call:
            return False
        del self._waiting[worker]
        return True

    def left(self, worker: str) -> bool:
        """Release what a worker held that is gone; return whether that was anything."""
        waited = self._waiting.pop(worker, None) is not None
        return self._held.pop(worker, None) is not None or waited

    @staticmethod
    def _is_next(rank: int, others: list[tuple[int, str]], free: int) -> bool:
        """Return whether fewer of `others` are before this rank than permits are free."""
        return len(others) < free or others[free - 1][0] >= rank

    def _others(self, now: float) -> Iterable[tuple[int, str]]:
        """Yield who waits, lowest rank first."""
        for worker in [one for one, waiting in self._waiting.items() if waiting.until <= now]:
            del self._waiting[worker]
        return heapq.merge(*([(rank, worker) for rank in one.ranks] for worker, one in self._waiting.items()))
