"""The only module that reads the time, so that tests and replays can bring a clock of their own."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Final

# Counts on while a machine sleeps, unlike Python's monotonic clock on Linux.
_RUNNING: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_SLEW: Final = 0.01


def now_ms() -> int:
    """Return the wall clock in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def monotonic() -> float:
    """Return seconds of a clock that never goes back; only differences mean something."""
    return time.monotonic()


def process_time() -> float:
    """Return the seconds of processor time that this process has used, in all of its threads."""
    return time.process_time()


def boottime() -> float:
    """Return seconds of a clock that never goes back and that counts on while the machine is suspended.

    A proof that must be young (the last accepted transaction, say) is measured by it: `monotonic` stands still in a
    suspend, so that a machine that wakes would take a proof of an hour ago for one of a moment ago.
    """
    return time.clock_gettime(_RUNNING)


class SteadyClock:
    """A wall clock that no step moves: it runs on by itself and nears the wall clock by at most 1 % of what passes.

    A machine's clock that is set, by an hour or by a second, then neither ends a wait at once nor makes it an hour
    longer.
    """

    def __init__(self, wall_ns: int, running_ns: int) -> None:
        """Begin at the wall clock."""
        self._now_ns = wall_ns
        self._running_ns = running_ns
        self._guard = threading.Lock()

    def at(self, wall_ns: int, running_ns: int) -> int:
        """Return nanoseconds since the epoch, given what the two clocks say."""
        with self._guard:
            passed = max(running_ns - self._running_ns, 0)
            self._running_ns += passed
            most = int(passed * _SLEW)
            self._now_ns += passed + max(-most, min(wall_ns - self._now_ns - passed, most))
            return self._now_ns


_steady = SteadyClock(time.time_ns(), time.clock_gettime_ns(_RUNNING))


def steady_ms() -> int:
    """Return milliseconds since the epoch by a clock that no step moves: what is to be waited for is due by it."""
    return _steady.at(time.time_ns(), time.clock_gettime_ns(_RUNNING)) // 1_000_000


def utc_now() -> datetime:
    """Return the wall clock as an aware datetime in UTC."""
    return datetime.now(UTC)


def from_ms(ms: int) -> datetime:
    """Return milliseconds since the epoch as an aware datetime in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def today() -> str:
    """Return the date in UTC as budgets count days: 2026-11-30."""
    return from_ms(now_ms()).date().isoformat()


def iso(ms: int | None) -> str | None:
    """Return milliseconds since the epoch as RFC 3339 text in UTC, or None."""
    return None if ms is None else from_ms(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
