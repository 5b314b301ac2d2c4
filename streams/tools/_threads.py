"""Threads for users' plain functions: apart from the machinery's own, and never waited for at the end.

The event loop's own pool has a handful of threads, which restoring and stopping need as well: a few tools that block
for a minute would hold a partition up. And a process that has drained must end although a function does not.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, Final, ParamSpec, TypeVar

MOST: Final = 64  # plain functions that run at a time in one process; more of them wait

T = TypeVar("T")
P = ParamSpec("P")


class Threads:
    """Daemon threads, made when they are needed and kept."""

    def __init__(self, most: int = MOST) -> None:
        """Run at most so many functions at a time."""
        self._most = most
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._busy = 0  # functions that run or wait
        self.count = 0

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `fn` returns in a thread, with the caller's context; a cancelled caller leaves it running."""
        done: Future[T] = Future()
        context = copy_context()

        def work() -> None:
            if not done.set_running_or_notify_cancel():
                self._free()
                return
            try:
                value = context.run(fn, *args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - it is raised where the function was called
                self._free()
                done.set_exception(error)
            else:
                self._free()  # first, or whoever goes on with the result would find this thread busy and start another
                done.set_result(value)

        self._put(work)
        return await asyncio.wrap_future(done)

    def _put(self, work: Callable[[], None]) -> None:
        with self._lock:
            self._busy += 1
            if self.count < min(self._busy, self._most):
                self.count += 1
                threading.Thread(target=self._serve, name=f"streams-handler-{self.count}", daemon=True).start()
        self._work.put(work)

    def _serve(self) -> None:
        while True:
            self._work.get()()

    def _free(self) -> None:
        with self._lock:
            self._busy -= 1


_SHARED: Final = Threads()


async def in_thread(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a plain function of a user in a thread of the process's pool for them."""
    return await _SHARED.run(fn, *args, **kwargs)
