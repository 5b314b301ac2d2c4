"""Puts simulated clocks, threads, randomness and process calls in the place of the real ones, in this whole process.

A simulation has a process of its own, so nothing is put back. Names that modules imported from elsewhere are replaced
in those modules as well. All product modules must be imported before.
"""

from __future__ import annotations

import _queue
import _thread
import os
import queue
import random
import secrets
import sys
import threading
import time
import uuid
import weakref
from asyncio import events
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any

from tests.simulation.scheduler import NS, Scheduler
from tests.simulation.threads import SimLock, SimRLock, ThreadModule

_LOCK = type(_thread.allocate_lock())
_RLOCK = type(_thread.RLock())


def install(scheduler: Scheduler, seed: int) -> None:
    """Replace them."""
    numbers = random.Random(f"values {seed}")
    pairs: list[tuple[Any, Any]] = [*_clocks(scheduler), *_threads(scheduler), *_process(scheduler)]
    pairs += _values(numbers)
    replace_everywhere(pairs)
    _replace_locks(scheduler)
    random.seed(f"global {seed}")
    sys.set_asyncgen_hooks(*_generator_hooks())
    _dates(scheduler)


def replace_everywhere(pairs: list[tuple[Any, Any]]) -> None:
    """Replace objects by others under whatever name modules know them."""
    by_id = {id(old): (old, new) for old, new in pairs}
    for module in list(sys.modules.values()):
        if module is None or getattr(module, "__name__", "").startswith(("tests.simulation", "greenlet")):
            continue
        for name, value in list(vars(module).items()):
            found = by_id.get(id(value))
            if found is not None and found[0] is value:
                setattr(module, name, found[1])


def _replace_locks(scheduler: Scheduler) -> None:
    """Replace the locks that modules made when they were imported: a simulated thread may wait while it has one."""
    for module in list(sys.modules.values()):
        if module is None or getattr(module, "__name__", "").startswith("importlib"):
            continue
        for name, value in list(vars(module).items()):
            if isinstance(value, _LOCK):
                setattr(module, name, _shared(scheduler, SimLock(scheduler)))
            elif isinstance(value, _RLOCK):
                setattr(module, name, _shared(scheduler, SimRLock(scheduler)))


def _shared(scheduler: Scheduler, lock: Any) -> Any:
    scheduler.on_kill.append(lock.free_of_the_dead)
    return lock


def _clocks(scheduler: Scheduler) -> list[tuple[Any, Any]]:
    def gettime_ns(which: int) -> int:
        if which == time.CLOCK_BOOTTIME:
            return scheduler.boot_ns()
        return scheduler.wall_ns() if which == time.CLOCK_REALTIME else scheduler.monotonic_ns()

    def monotonic() -> float:
        return scheduler.monotonic_ns() / NS

    def process_time() -> float:
        return scheduler.now_ns / NS / 100

    return [
        (time.time, lambda: scheduler.wall_ns() / NS),
        (time.time_ns, scheduler.wall_ns),
        (time.monotonic, monotonic),
        (time.monotonic_ns, scheduler.monotonic_ns),
        (time.perf_counter, monotonic),
        (time.perf_counter_ns, scheduler.monotonic_ns),
        (time.process_time, process_time),
        (time.clock_gettime, lambda which: gettime_ns(which) / NS),
        (time.clock_gettime_ns, gettime_ns),
        (time.sleep, scheduler.sleep),
    ]


def _threads(scheduler: Scheduler) -> list[tuple[Any, Any]]:
    simulated = ThreadModule(scheduler)
    return [
        (_thread.allocate_lock, simulated.allocate_lock),
        (_thread.RLock, simulated.RLock),
        (threading.RLock, simulated.RLock),
        (_thread.get_ident, simulated.get_ident),
        (_thread.start_new_thread, simulated.start_new_thread),
        (_thread._set_sentinel, simulated.set_sentinel),  # type: ignore[attr-defined]
        (_queue.SimpleQueue, queue._PySimpleQueue),  # type: ignore[attr-defined]
    ]


def _process(scheduler: Scheduler) -> list[tuple[Any, Any]]:
    def exit_now(status: int) -> None:
        process = scheduler.process
        if process is scheduler.outside:
            raise SystemExit(status)
        process.status = status
        scheduler.kill(process)

    return [(os._exit, exit_now), (os.getpid, lambda: scheduler.process.pid)]


def _values(numbers: random.Random) -> list[tuple[Any, Any]]:
    def hexadecimal(count: int = 32) -> str:
        return numbers.randbytes(count).hex()

    return [
        (uuid.uuid4, lambda: uuid.UUID(bytes=numbers.randbytes(16), version=4)),
        (os.urandom, numbers.randbytes),
        (secrets.token_hex, hexadecimal),
        (secrets.token_urlsafe, hexadecimal),
    ]


def _generator_hooks() -> tuple[Callable[[Any], None], Callable[[Any], None]]:
    loops: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

    def begins(generator: Any) -> None:
        loop = events._get_running_loop()
        if loop is not None:
            loops[generator] = loop

    def ends(generator: Any) -> None:
        loop = loops.pop(generator, None)
        if loop is not None and not loop.is_closed():
            loop.post(loop.create_task, generator.aclose())

    return begins, ends


def _dates(scheduler: Scheduler) -> None:
    """Let `datetime.now` tell virtual time where the product asks."""

    class SimDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(scheduler.wall_ns() / NS, tz or UTC)

    import streams.clock

    vars(streams.clock)["datetime"] = SimDatetime
