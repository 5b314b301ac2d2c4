"""One lock: the family of runs that holds it and the runs that wait for it; pure.

A family is a run with its descendants: they may hold together, or a parent would wait for a child that waits for it.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass


@dataclass(slots=True)
class LockClaim:
    """What one run holds or waits for; `ending` is how often it had ended when it asked."""

    run_id: str
    root: str
    rank: int
    ending: int
    held: bool = False


class KeyLock:
    """Who holds and who waits, lowest rank first. Free means that nobody waits."""

    __slots__ = ("_families", "_held", "_order", "_queue", "_root", "claims")

    def __init__(self) -> None:
        """Be free."""
        self.claims: dict[str, LockClaim] = {}
        self._queue: list[tuple[int, int, str]] = []
        self._families: dict[str, dict[str, None]] = {}  # who waits, by root
        self._order = itertools.count()
        self._held = 0
        self._root = ""

    def load(self, claims: list[LockClaim]) -> None:
        """Take over what a former home wrote down."""
        for claim in claims:
            self.claims[claim.run_id] = claim
            if claim.held:
                self._held += 1
                self._root = claim.root
            else:
                self._wait(claim)

    def want(self, claim: LockClaim) -> list[LockClaim]:
        """Take a request in and return whose grant is to be sent; one that holds already gets it again."""
        known = self.claims.get(claim.run_id)
        if known is not None:
            known.ending = max(known.ending, claim.ending)
            return [known] if known.held else []
        self.claims[claim.run_id] = claim
        if self._held and claim.root != self._root:
            self._wait(claim)
            return []
        self._hold(claim)
        return [claim]

    def release(self, run_id: str, ending: int) -> tuple[LockClaim | None, list[LockClaim]]:
        """Drop what a run claimed before its `ending`-th end; return that, and who holds now."""
        claim = self.claims.get(run_id)
        if claim is None or claim.ending >= ending:
            return None, []
        del self.claims[run_id]
        if not claim.held:
            self._families[claim.root].pop(run_id, None)
            return claim, []
        self._held -= 1
        return claim, [] if self._held else self._next()

    def _next(self) -> list[LockClaim]:
        """Hand the lock to the first who waits, and to its family."""
        while self._queue:
            _, _, run_id = heapq.heappop(self._queue)
            first = self.claims.get(run_id)
            if first is None or first.held or run_id not in self._families.get(first.root, ()):
                continue  # it has given up
            given = [self.claims[one] for one in self._families.pop(first.root)]
            for claim in given:
                self._hold(claim)
            return given
        return []

    def _hold(self, claim: LockClaim) -> None:
        claim.held = True
        self._held += 1
        self._root = claim.root

    def _wait(self, claim: LockClaim) -> None:
        heapq.heappush(self._queue, (claim.rank, next(self._order), claim.run_id))
        self._families.setdefault(claim.root, {})[claim.run_id] = None
