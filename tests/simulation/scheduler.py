"""Runs simulated threads one at a time on virtual time; the seed decides which runnable thread goes on.

A simulated thread is a greenlet. It goes on until it blocks (`park`), offers the processor (`pass_on`) or ends. Time
stands still while a thread runs, apart from a few microseconds a switch, and jumps when no thread is runnable.
"""

from __future__ import annotations

import heapq
from asyncio import events
from collections.abc import Callable
from random import Random
from typing import Any, Final

import greenlet

NS: Final = 1_000_000_000
_EPOCH_NS: Final = 1_767_225_600 * NS  # the wall clock of a run begins at 2026-01-01T00:00:00Z
_SWITCH_NS: Final = 2_000  # what one switch costs, so that no loop of yields lasts for ever at one moment
_PASS: Final = 0.1  # share of the places where a thread may be interrupted at which it is


_AT_ONCE: Final = 100_000  # timers that may fire at one moment


def _inside(callback: Any) -> str:
    """Return what a function has closed over, for an error message."""
    cells = getattr(callback, "__closure__", None) or ()
    return ", ".join(repr(cell.cell_contents)[:300] for cell in cells)


class DeadlockError(Exception):
    """Raised when no thread is runnable and no timer is due."""


class SimThread:
    """A thread of a simulated process."""

    __slots__ = ("ended", "greenlet", "ident", "loop", "name", "parked", "process", "token", "woken")

    def __init__(self, process: SimProcess, name: str, ident: int) -> None:
        """Begin nothing yet: the scheduler gives it a greenlet."""
        self.process = process
        self.name = name
        self.ident = ident
        self.greenlet: Any = None
        self.loop: Any = None  # the event loop that runs in it while it is switched away
        self.parked = False
        self.token = 0  # of the wait that it is in: a timer of an earlier one does not end it
        self.woken = False
        self.ended: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"{self.process.name}/{self.name}"


class SimProcess:
    """A process: threads that die together, a clock of its own, and what others hang on it."""

    def __init__(self, name: str, pid: int) -> None:
        """Begin alive, with the true time."""
        self.name = name
        self.pid = pid
        self.alive = True
        self.status: int | None = None  # how it ended by itself
        self.frozen = False
        self.wall_ns = 0  # what its wall clock is off by
        self.asleep_ns = 0  # how long its machine was suspended: its monotonic clock stood still
        self.held: list[Callable[[], None]] = []  # what would have run while it was frozen
        self.threads: list[SimThread] = []
        self.on_end: list[Callable[[], None]] = []
        self.locals: dict[str, Any] = {}  # what is module state in a real process


class Scheduler:
    """The one scheduler of a run."""

    def __init__(self, seed: int) -> None:
        """Begin at virtual time 0."""
        self.random = Random(f"schedule {seed}")
        self.now_ns = 0
        self.switches = 0
        self.current: SimThread | None = None
        self.processes: list[SimProcess] = []
        self.outside = SimProcess("outside", 1)
        self._hub: Any = None
        self._ready: list[SimThread] = []
        self._timers: list[tuple[int, int, Callable[[], None], SimProcess | None]] = []
        self._sequence = 0
        self._idents = 1000
        self._pids = 100
        self._stopped = False
        self.on_kill: list[Callable[[], None]] = []  # called after each end of a process
        self._conditions: dict[SimThread, Callable[[], bool]] = {}
        self._changed = False  # since the conditions were looked at

    # -- time

    @property
    def now(self) -> float:
        """Return seconds since the run began."""
        return self.now_ns / NS

    @property
    def process(self) -> SimProcess:
        """Return the process whose thread runs."""
        return self.outside if self.current is None else self.current.process

    def wall_ns(self) -> int:
        """Return the wall clock of the process that runs."""
        return _EPOCH_NS + self.now_ns + self.process.wall_ns

    def monotonic_ns(self) -> int:
        """Return the monotonic clock of the process that runs."""
        return 1000 * NS + self.now_ns - self.process.asleep_ns

    def boot_ns(self) -> int:
        """Return the clock that counts on while the machine of the process is suspended."""
        return 1000 * NS + self.now_ns

    # -- processes and threads

    def new_process(self, name: str) -> SimProcess:
        """Return a new process without threads."""
        self._pids += 1
        process = SimProcess(name, self._pids)
        self.processes.append(process)
        return process

    def spawn(self, process: SimProcess, name: str, run: Callable[[], Any]) -> SimThread:
        """Start a thread."""
        self._idents += 1
        thread = SimThread(process, name, self._idents)
        process.threads.append(thread)

        def body() -> None:
            try:
                run()
            finally:
                if process.alive:
                    for callback in thread.ended:
                        callback()

        thread.greenlet = greenlet.greenlet(body, parent=self._hub)
        self._make_ready(thread)
        return thread

    def kill(self, process: SimProcess) -> None:
        """End a process at once: none of its code runs any more, no `finally` either."""
        if not process.alive:
            return
        process.alive = False
        for thread in process.threads:
            self._conditions.pop(thread, None)
        for callback in [*process.on_end, *self.on_kill]:
            callback()
        if self.current is not None and self.current.process is process:
            self.current.parked = True
            self._hub.switch()  # never to return

    def freeze(self, process: SimProcess) -> None:
        """Stop a process (SIGSTOP): nothing of it runs until `thaw`, and its sockets stay open."""
        process.frozen = True

    def thaw(self, process: SimProcess) -> None:
        """Let a stopped process go on."""
        process.frozen = False
        held, process.held = process.held, []
        for callback in held:
            callback()

    # -- waiting

    def park(self, until_ns: int | None = None) -> bool:
        """Block the running thread until it is unparked, or until a time; return whether it was unparked."""
        thread = self.current
        if thread is None:
            raise RuntimeError("the scheduler itself cannot wait: call this in a simulated thread")
        thread.token += 1
        thread.woken = False
        thread.parked = True
        if until_ns is not None:
            token = thread.token
            self.at(until_ns, lambda: self._time_out(thread, token), thread.process)
        self._hub.switch()
        return thread.woken

    def wait_for(self, is_ready: Callable[[], bool], until_ns: int | None) -> bool:
        """Block the running thread until a condition is seen to hold, or until a time; return whether it holds."""
        thread = self.current
        if thread is None:
            raise RuntimeError("the scheduler itself cannot wait: call this in a simulated thread")
        self._conditions[thread] = is_ready
        try:
            while not is_ready():
                if until_ns is not None and self.now_ns >= until_ns:
                    return False
                self.park(until_ns)
            return True
        finally:
            self._conditions.pop(thread, None)

    def unpark(self, thread: SimThread) -> None:
        """Let a blocked thread go on; nothing happens to one that is not blocked."""
        if thread.parked and thread.process.alive:
            thread.woken = True
            self._make_ready(thread)

    def sleep(self, seconds: float) -> None:
        """Block the running thread for a time."""
        self.park(self.now_ns + round(seconds * NS))

    def pass_on(self) -> None:
        """Interrupt the running thread here, sometimes."""
        if self.current is not None and self.current.process.alive and self.random.random() < _PASS:
            self._make_ready(self.current)
            self._hub.switch()

    def at(self, when_ns: int, callback: Callable[[], None], process: SimProcess | None = None) -> None:
        """Call back at a time, in the scheduler; not when `process` is dead by then, later while it is stopped."""
        self._sequence += 1
        heapq.heappush(self._timers, (when_ns, self._sequence, callback, process))

    def after(self, seconds: float, callback: Callable[[], None], process: SimProcess | None = None) -> None:
        """Call back after a time, as `at` does."""
        self.at(self.now_ns + round(seconds * NS), callback, process)

    # -- the run

    def run(self) -> None:
        """Run until `stop`."""
        self._hub = greenlet.getcurrent()
        for process in self.processes:
            for thread in process.threads:
                thread.greenlet.parent = self._hub
        while not self._stopped:
            self._fire_due()
            if self._ready:
                self._go_on(self._take())
            elif self._changed:
                self._look()
            elif self._timers:
                self.now_ns = max(self.now_ns, self._timers[0][0])
            elif not self._stopped:
                raise DeadlockError(f"at {self.now:.3f} s all threads wait and no timer is due")

    def stop(self) -> None:
        """End `run`; whatever has not ended stays as it is."""
        self._stopped = True

    def _take(self) -> SimThread:
        ready = self._ready
        place = int(self.random.random() * len(ready)) if len(ready) > 1 else 0
        thread = ready[place]
        ready[place] = ready[-1]
        ready.pop()
        return thread

    def _look(self) -> None:
        """Let those go on whose conditions hold by now."""
        self._changed = False
        for thread, is_ready in list(self._conditions.items()):
            if thread.parked and is_ready():
                self.unpark(thread)

    def _go_on(self, thread: SimThread) -> None:
        self._changed = True
        process = thread.process
        if not process.alive:
            return
        if process.frozen:
            process.held.append(lambda: self._ready.append(thread))
            return
        self.now_ns += _SWITCH_NS
        self.switches += 1
        self.current = thread
        events._set_running_loop(thread.loop)
        thread.greenlet.switch()
        thread.loop = events._get_running_loop()
        events._set_running_loop(None)
        self.current = None

    def _fire_due(self) -> None:
        fired = 0
        while self._timers and self._timers[0][0] <= self.now_ns and not self._stopped:
            self._fire()
            fired += 1
            if fired > _AT_ONCE:
                callback = self._timers[0][2] if self._timers else None
                raise DeadlockError(f"time stands still at {self.now:.6f} s: {callback} {_inside(callback)}")

    def _fire(self) -> None:
        self._changed = True
        _, _, callback, process = heapq.heappop(self._timers)
        if process is None:
            callback()
        elif process.frozen and process.alive:
            process.held.append(callback)
        elif process.alive:
            callback()

    def _make_ready(self, thread: SimThread) -> None:
        thread.parked = False
        self._ready.append(thread)

    def _time_out(self, thread: SimThread, token: int) -> None:
        if thread.parked and thread.token == token:
            self._make_ready(thread)
