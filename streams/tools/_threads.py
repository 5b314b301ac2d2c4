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
from typing import Any, Final, Generic, ParamSpec, TypeVar, cast

from streams.tools._user_code import user_code_exit

MOST: Final = 64  # plain functions that run at a time in one process; more of them wait

T = TypeVar("T")
P = ParamSpec("P")


class _Ended(Generic[T]):
    """How a function ended. Futures take no StopIteration and make a cancellation of their own out of some errors."""

    __slots__ = ("_error", "_value")

    def __init__(self, value: T | None, error: BaseException | None) -> None:
        self._value = value
        self._error = error

    def result(self) -> T:
        """Return the value or raise the error; UserCodeExit for what would end a coroutine or its event loop."""
        error = self._error
        if error is None:
            return cast("T", self._value)
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            raise error
        raise user_code_exit(error) from error


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
        done: Future[_Ended[T]] = Future()
        context = copy_context()

        def work() -> None:
            if not done.set_running_or_notify_cancel():
                self._free()
                return
            try:
                ended = _Ended(context.run(fn, *args, **kwargs), None)
            except BaseException as error:  # noqa: BLE001 - it is raised where the function was called
                ended = _Ended(None, error)
            self._free()  # first, or whoever goes on with the result would find this thread busy and start another
            done.set_result(ended)

        self._put(work)
        return (await asyncio.wrap_future(done)).result()

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
