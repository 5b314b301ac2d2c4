"""The one way in which the simulated Kafka knows time: a harness supplies it, so that a run can be replayed."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from typing import Protocol


class Waiter(Protocol):
    """Time for a process: the brokers have one, and each client process has its own, which may be frozen or killed."""

    def now(self) -> float:
        """Return the true time in seconds; all waiters of a cluster share it."""

    def wait(self, until: float | None, is_ready: Callable[[], bool]) -> bool:
        """Block the caller until `is_ready` or until a time; return whether it is ready.

        `is_ready` can change with each scheduled action, and with each call that another thread makes on a client.
        """

    def schedule(self, at: float, action: Callable[[], None]) -> None:
        """Run an action at a time; never inside this call. One of a process that is dead by then does not run."""


class NothingHappensError(Exception):
    """Raised by `VirtualTime.wait` when a caller waits for ever and nothing is scheduled."""


class VirtualTime:
    """Time that passes only while somebody waits; for tests with one thread."""

    def __init__(self, start: float = 1_767_225_600.0) -> None:
        """Begin at `start`, in seconds since the epoch."""
        self._now = start
        self._count = 0
        self._actions: list[tuple[float, int, Callable[[], None]]] = []

    def now(self) -> float:
        """Return the virtual time."""
        return self._now

    def schedule(self, at: float, action: Callable[[], None]) -> None:
        """Run an action at a time."""
        self._count += 1
        heapq.heappush(self._actions, (max(at, self._now), self._count, action))

    def wait(self, until: float | None, is_ready: Callable[[], bool]) -> bool:
        """Run what is due until `is_ready`; raises NothingHappensError if that can never be."""
        while not is_ready():
            if self._actions and (until is None or self._actions[0][0] <= until):
                self._step()
            elif until is None:
                raise NothingHappensError("a caller waits for ever and nothing is scheduled")
            else:
                self._now = max(self._now, until)
                return is_ready()
        return True

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.wait(self._now + seconds, lambda: False)

    def _step(self) -> None:
        at, _, action = heapq.heappop(self._actions)
        self._now = max(self._now, at)
        action()


class RealTime:
    """Time as it is: a thread runs what is due, and one lock makes each action and each test of a condition atomic.

    Calls on clients from several threads need the same lock: hold `lock` around them.
    """

    def __init__(self) -> None:
        """Start the thread, a daemon."""
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._count = 0
        self._actions: list[tuple[float, int, Callable[[], None]]] = []
        threading.Thread(target=self._run, name="simulated-kafka", daemon=True).start()

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return time.time()

    def schedule(self, at: float, action: Callable[[], None]) -> None:
        """Run an action at a time, in the thread."""
        with self._changed:
            self._count += 1
            heapq.heappush(self._actions, (at, self._count, action))
            self._changed.notify_all()

    def wait(self, until: float | None, is_ready: Callable[[], bool]) -> bool:
        """Block until `is_ready` or a time."""
        with self._changed:
            while not is_ready():
                left = None if until is None else until - time.time()
                if left is not None and left <= 0:
                    return is_ready()
                self._changed.wait(left)
            return True

    def _run(self) -> None:
        with self._changed:
            while True:
                if not self._actions or self._actions[0][0] > time.time():
                    self._changed.wait(self._actions[0][0] - time.time() if self._actions else None)
                    continue
                heapq.heappop(self._actions)[2]()
                self._changed.notify_all()
