"""The arithmetic of a rate limit: which grants still count, and when the next one may be given; pure, without a clock.

A grant is given at the moment at which its request came in (t). It may be used until `use` seconds after the request
was sent, so between t and t + use. Two calls less than `per` apart then have grants less than `per + use` apart, and at
most `count` grants in any window of that length (and a little more, since clocks run at different speeds) means at most
`count` calls in any `per`, whatever dies in between: a grant that was never used counts as used.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from streams.define.limits import Rate

RECORDED_S: Final = 1.0  # windows up to that are not recorded: a new home waits for one window instead
SKEW_S: Final = 0.5  # what the wall clocks of two workers may differ by: a new home takes grants for so much younger


class RateTerms(NamedTuple):
    """Seconds: how long a grant may be used after its request was sent, and the window in which `count` are given."""

    use: float
    window: float


def terms(rate: Rate) -> RateTerms:
    """Return the terms of a rate: 2 s and 62.5 s for a minute, less for shorter windows so that little is wasted."""
    use = min(2.0, max(0.25, rate.per / 20))
    drift = min(0.5, max(0.05, rate.per / 100))
    return RateTerms(use, rate.per + use + drift)


def recorded(rate: Rate) -> bool:
    """Return whether grants of this rate are written down."""
    return rate.per > RECORDED_S


class RateWindow:
    """The grants of one limit, oldest first; times are the home's monotonic seconds."""

    __slots__ = ("_granted", "_known", "not_before")

    def __init__(self, not_before: float = float("-inf")) -> None:
        """Grant nothing before that time: what a former home gave may still count."""
        self.not_before = not_before
        self._granted: deque[tuple[float, str]] = deque()
        self._known: set[str] = set()

    def __len__(self) -> int:
        """Return how many grants count."""
        return len(self._granted)

    def __contains__(self, request: str) -> bool:
        """Return whether a request has its grant already."""
        return request in self._known

    def load(self, grants: list[tuple[float, str]]) -> None:
        """Take over what a former home gave."""
        self._granted = deque(sorted(grants))
        self._known = {request for _, request in grants}

    def expire(self, now: float, length: float) -> list[str]:
        """Forget what is older than the window, and return it."""
        gone = []
        while self._granted and self._granted[0][0] <= now - length:
            gone.append(self._granted.popleft()[1])
        self._known.difference_update(gone)
        return gone

    def free(self, now: float, rate: Rate) -> int:
        """Return how many grants may be given now, after `expire`."""
        return 0 if now < self.not_before else max(rate.count - len(self._granted), 0)

    def grant(self, now: float, request: str) -> None:
        """Record a grant; the caller has checked whether one is free."""
        self._granted.append((now, request))
        self._known.add(request)

    def wait(self, now: float, rate: Rate) -> float:
        """Return the seconds until the next grant may be given, 0 if it is now."""
        free_at = self.not_before
        if len(self._granted) >= rate.count:
            oldest = self._granted[len(self._granted) - rate.count][0]
            free_at = max(free_at, oldest + terms(rate).window)
        return max(free_at - now, 0.0)


def age(now_ms: int, granted_ms: int) -> float:
    """Return the seconds that a recorded grant is taken to be old: never negative, rather too young than too old."""
    return max((now_ms - granted_ms) / 1000 - SKEW_S, 0.0)


class RateDemand:
    """Who else waits for a limit, so that a worker near its home does not take all of it."""

    __slots__ = ("_others",)

    LATE_S: Final = 0.08  # how late a worker may come back before its share goes to others

    def __init__(self) -> None:
        """Begin without grants."""
        self._others: dict[str, tuple[int, float, float]] = {}

    def share(self, worker: str, wanted: int, free: int, now: float) -> int:
        """Return how many of `free` this worker may take, in proportion to what those wait for who are due."""
        due = sum(
            count
            for other, (count, since, until) in self._others.items()
            if other != worker and since <= now + self.LATE_S and now <= until
        )
        if wanted == 0 or free == 0:
            return 0
        return min(wanted, -(-free * wanted // (wanted + due)))

    def waits(self, worker: str, count: int, now: float, seconds: float) -> None:
        """Remember that a worker is to come back in so many seconds, with that many waiting."""
        if count <= 0:
            self._others.pop(worker, None)
        else:
            self._others[worker] = (count, now + seconds, now + seconds + self.LATE_S)
