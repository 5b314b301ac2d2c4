"""The threads for plain functions of users: whether they are all held, by what, and what becomes of the worker then.

A function cannot be ended from outside, and a time-out leaves it running. So the threads can all be held by functions
that never return, and no other function begins any more. The worker then says so, is not ready, and at last ends: its
partitions move, and what had begun is tried again elsewhere.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from streams import clock
from streams.metrics import FUNCTIONS, OLDEST_FUNCTION
from streams.runtime.errors import WorkerError

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from streams.tools._threads import FunctionThreads, RunningFunction

_LOOK_S: Final = 5.0
_NOT_READY_S: Final = 15.0  # without any return, while functions wait: from then on the worker is not ready
_NAMED: Final = 5  # functions in a message, those that hold the most threads first


class ThreadsHeldError(WorkerError):
    """Raised when plain functions that do not return hold all threads for too long."""


class HandlerThreads:
    """Looks at the threads every few seconds."""

    def __init__(self, threads: FunctionThreads, after_s: float, crash: Callable[[Exception], None]) -> None:
        """End the process by `crash` when none has returned for `after_s` seconds while others wait; 0: never."""
        self._threads = threads
        self._after_s = after_s
        self._crash = crash

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.look()

    def look(self) -> None:
        """End the process if it is time for that."""
        if self._after_s and self._held_s() >= self._after_s:
            self._crash(ThreadsHeldError(f"{self._summary()}: this worker ends, and they are tried again elsewhere"))

    @property
    def trouble(self) -> str | None:
        """Return why the worker is not ready, None for nothing."""
        return self._summary() if self._held_s() >= _NOT_READY_S else None

    def collect(self) -> Iterator[Metric]:
        """Yield how many functions run and wait, and for how long the oldest has run."""
        held = self._threads.held()
        yield FUNCTIONS.family([(("running",), len(held)), (("waiting",), self._threads.waiting)])
        yield OLDEST_FUNCTION.family([((), clock.monotonic() - held[0].since if held else 0.0)])

    def _held_s(self) -> float:
        """Return for how long no function has returned or begun while others wait."""
        held = self._threads.held()
        return clock.monotonic() - held[-1].since if held and self._threads.waiting else 0.0

    def _summary(self) -> str:
        held = self._threads.held()
        counts = Counter(one.function for one in held).most_common(_NAMED)
        names = ", ".join(f"{count} by {function}" for function, count in counts)
        first: RunningFunction = held[0]
        caller = f", the first for {first.caller}" if first.caller else ""
        return (
            f"{self._threads.waiting} plain functions wait for a thread and none has returned for "
            f"{self._held_s():.0f} s; {len(held)} threads are held: {names}{caller}"
        )
