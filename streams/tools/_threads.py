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
from typing import Any, Final, Generic, NamedTuple, ParamSpec, TypeVar, cast

from streams import clock
from streams.activity import BOARD, LABEL
from streams.define.signatures import underlying
from streams.user_code import user_code_exit

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


class RunningFunction(NamedTuple):
    """A function that has a thread: the thread's number, what it is, for whom, and since when (CLOCK_MONOTONIC)."""

    place: int
    function: str
    caller: str
    since: float


class FunctionThreads:
    """Daemon threads, made when they are needed and reused."""

    def __init__(self, most: int = MOST, *, shown: bool = False) -> None:
        """Run at most so many functions at a time; what they do is `shown` on the activity board."""
        self._most = most
        self._shown = shown
        self._held: dict[int, RunningFunction] = {}
        self._work: SimpleQueue[Callable[[int], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._busy = 0  # functions that run or wait
        self.count = 0

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `fn` returns in a thread, with the caller's context; a cancelled caller leaves it running."""
        done: Future[_Ended[T]] = Future()
        context = copy_context()

        def work(place: int) -> None:
            if not done.set_running_or_notify_cancel():
                self._free(place)
                return
            text = context.get(LABEL, b"")
            self._held[place] = RunningFunction(
                place, _name_of(fn), text.replace(b"\x1f", b" ").decode(), clock.monotonic()
            )
            if self._shown:
                BOARD.enter(place, text)
            try:
                ended = _Ended(context.run(fn, *args, **kwargs), None)
            except BaseException as error:  # noqa: BLE001 - it is raised where the function was called
                ended = _Ended(None, error)
            self._free(place)  # first, or whoever goes on with the result would find this thread busy and start another
            done.set_result(ended)

        self._put(work)
        return (await asyncio.wrap_future(done)).result()

    def held(self) -> list[RunningFunction]:
        """Return the functions that run, the longest first."""
        return sorted(self._held.values(), key=lambda held: held.since)

    @property
    def waiting(self) -> int:
        """Return how many functions wait for others to return."""
        return max(self._busy - self._most, 0)

    def _put(self, work: Callable[[int], None]) -> None:
        with self._lock:
            self._busy += 1
            if self.count < min(self._busy, self._most):
                self.count += 1
                threading.Thread(
                    target=self._serve, args=(self.count,), name=f"streams-handler-{self.count}", daemon=True
                ).start()
        self._work.put(work)

    def _serve(self, place: int) -> None:
        while True:
            self._work.get()(place)

    def _free(self, place: int) -> None:
        self._held.pop(place, None)
        if self._shown:
            BOARD.enter(place, b"")
        with self._lock:
            self._busy -= 1


def _name_of(fn: Callable[..., Any]) -> str:
    """Return where a function is, as an error message names it."""
    inner = underlying(fn)
    code = getattr(inner, "__code__", None)
    name = str(getattr(inner, "__qualname__", type(inner).__name__))
    return name if code is None else f"{name} ({code.co_filename}:{code.co_firstlineno})"


SHARED: Final = FunctionThreads(shown=True)
"""The process's pool for functions of users."""


async def in_thread(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a plain function of a user in a thread of the process's pool for them."""
    return await SHARED.run(fn, *args, **kwargs)
