"""Locks and threads with the interface of `_thread`, on which all of `threading`, `queue` and `concurrent` stand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from tests.simulation.scheduler import NS, Scheduler, SimProcess, SimThread

_NOBODY = object()


class SimLock:
    """A lock; outside of a run it is a flag that nobody waits for."""

    __slots__ = ("_held", "_holder", "_scheduler", "_waiting")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._held = False
        self._holder: SimProcess | None = None
        self._waiting: deque[SimThread] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if not self._held:
            self._held, self._holder = True, self._scheduler.process
            return True
        if not blocking:
            return False
        scheduler = self._scheduler
        until = None if timeout is None or timeout < 0 else scheduler.now_ns + round(timeout * NS)
        while self._held:
            if until is not None and scheduler.now_ns >= until:
                return False
            thread = scheduler.current
            if thread is None:
                raise RuntimeError("a lock is held where nobody can release it")
            self._waiting.append(thread)
            scheduler.park(until)
            if thread in self._waiting:
                self._waiting.remove(thread)
        self._held, self._holder = True, scheduler.process
        return True

    def free_of_the_dead(self) -> None:
        """Release a lock of the interpreter's own that a process had when it was killed: real ones share none."""
        if self._held and self._holder is not None and not self._holder.alive:
            self.release()

    def release(self) -> None:
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False
        while self._waiting:
            thread = self._waiting.popleft()
            if thread.process.alive:
                self._scheduler.unpark(thread)
                break
        self._scheduler.pass_on()

    def locked(self) -> bool:
        return self._held

    def _at_fork_reinit(self) -> None:
        self._held = False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class SimRLock:
    """A lock that its owner may take again."""

    __slots__ = ("_block", "_count", "_owner", "_scheduler")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._block = SimLock(scheduler)
        self._owner: object = _NOBODY
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        me = self._scheduler.current
        if self._owner is me:
            self._count += 1
            return True
        if self._block.acquire(blocking, timeout):
            self._owner, self._count = me, 1
            return True
        return False

    def release(self) -> None:
        if self._owner is not self._scheduler.current:
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self._owner = _NOBODY
            self._block.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _is_owned(self) -> bool:
        return self._owner is self._scheduler.current

    def _release_save(self) -> tuple[int, object]:
        state = (self._count, self._owner)
        self._count, self._owner = 0, _NOBODY
        self._block.release()
        return state

    def _acquire_restore(self, state: tuple[int, object]) -> None:
        self._block.acquire()
        self._count, self._owner = state

    def free_of_the_dead(self) -> None:
        """Release it, as `SimLock` does."""
        if isinstance(self._owner, SimThread) and not self._owner.process.alive:
            self._owner, self._count = _NOBODY, 0
            self._block.release()

    def _at_fork_reinit(self) -> None:
        self._owner, self._count = _NOBODY, 0


class ThreadModule:
    """What `_thread` gives, simulated."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def allocate_lock(self) -> SimLock:
        return SimLock(self._scheduler)

    def RLock(self) -> SimRLock:  # noqa: N802 - its name
        return SimRLock(self._scheduler)

    def get_ident(self) -> int:
        thread = self._scheduler.current
        return 1 if thread is None else thread.ident

    def start_new_thread(self, run: Callable[..., Any], args: tuple[Any, ...]) -> int:
        process = self._scheduler.process
        owner = getattr(run, "__self__", None)
        name = getattr(owner, "_name", "thread")
        thread = self._scheduler.spawn(process, str(name), lambda: run(*args))
        return thread.ident

    def set_sentinel(self) -> SimLock:
        """Return a lock that is released when the running thread ends."""
        lock, thread = SimLock(self._scheduler), self._scheduler.current

        def release() -> None:
            if lock.locked():
                lock.release()

        if thread is not None:
            thread.ended.append(release)
        return lock
