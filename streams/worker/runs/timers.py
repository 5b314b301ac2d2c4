"""One clockwork for all timers of this worker: due times come from journal entries, firing is a message to the run.

A timer lasts as long as it was to last when it came in, also when the machine's clock is set meanwhile. Only the moment
that somebody named for a run's begin is the wall clock's.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from streams import clock
from streams.engine.timers import NOT_BEFORE

if TYPE_CHECKING:
    from streams.engine.decision import Timer
    from streams.worker.state.slice import Slice

_LOOK_S: Final = 60.0  # the longest rest: a machine that slept has no later timer than that

Fire = Callable[["Slice", str, "Timer"], None]


class Timers:
    """A heap of due times; timers of dead slices are dropped when they come up."""

    def __init__(self, fire: Fire) -> None:
        """Call `fire` for each timer that is due, in the event loop."""
        self._fire = fire
        self._heap: list[tuple[int, int, Slice, str, Timer]] = []
        self._order = itertools.count()
        self._known: set[tuple[Slice, str, str, int]] = set()  # a run brought back asks again for what it asked before
        self._handle: asyncio.TimerHandle | None = None
        self._armed_for = 0

    def add(self, owned: Slice, run_id: str, timer: Timer) -> None:
        """Remember a timer of a run."""
        name = (owned, run_id, timer.path, timer.due_ms)
        if name in self._known:
            return
        self._known.add(name)
        self._push(owned, run_id, timer)
        self._arm()

    def _push(self, owned: Slice, run_id: str, timer: Timer) -> None:
        due = clock.steady_ms() + timer.due_ms - clock.now_ms()
        heapq.heappush(self._heap, (due, next(self._order), owned, run_id, timer))

    def __len__(self) -> int:
        """Return how many timers wait."""
        return len(self._heap)

    def stop(self) -> None:
        """Fire nothing any more."""
        self._heap.clear()
        self._known.clear()
        if self._handle is not None:
            self._handle.cancel()

    def _arm(self) -> None:
        if not self._heap:
            return
        due = self._heap[0][0]
        if self._handle is not None:
            if self._armed_for <= due:
                return
            self._handle.cancel()
        self._armed_for = due
        wait = max(due - clock.steady_ms(), 0) / 1000
        self._handle = asyncio.get_running_loop().call_later(min(wait, _LOOK_S), self._ring)

    def _ring(self, *_: Any) -> None:
        self._handle = None
        now, early = clock.steady_ms(), []
        while self._heap and self._heap[0][0] <= now:
            owned, run_id, timer = heapq.heappop(self._heap)[2:]
            if timer.path == NOT_BEFORE and timer.due_ms > clock.now_ms():
                early.append((owned, run_id, timer))  # the clock was set back
                continue
            self._known.discard((owned, run_id, timer.path, timer.due_ms))
            if owned.live:
                self._fire(owned, run_id, timer)
        for one in early:
            self._push(*one)
        self._arm()
