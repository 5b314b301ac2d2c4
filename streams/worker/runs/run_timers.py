"""One clockwork for all timers of this worker: due times come from journal entries, firing is a message to the run.

A timer lasts as long as it was to last when it came in, also when the machine's clock is set meanwhile. Only the moment
that somebody named for a run's begin is the wall clock's.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from streams import clock
from streams.engine.timers import NOT_BEFORE, settles

if TYPE_CHECKING:
    from streams.engine.decision import Timer
    from streams.engine.entry import Entry
    from streams.runtime.assignment import PartitionAssignment

_SPARE: Final = 64  # dropped timers that are worth no new heap
_LOOK_S: Final = 60.0  # the longest rest: a machine that slept has no later timer than that

Fire = Callable[["PartitionAssignment", str, "Timer"], None]


class _ScheduledTimer:
    """One timer in the heap; `due` is its steady time. Without a timer it is dropped."""

    __slots__ = ("due", "order", "owned", "run_id", "timer")

    def __init__(self, due: int, order: int, owned: PartitionAssignment, run_id: str, timer: Timer) -> None:
        self.due = due
        self.order = order
        self.owned = owned
        self.run_id = run_id
        self.timer: Timer | None = timer

    def __lt__(self, other: _ScheduledTimer) -> bool:
        """Order by due time, then as they were set."""
        return (self.due, self.order) < (other.due, other.order)


_OfRun = dict[
    tuple[str, int], _ScheduledTimer
]  # by path and due time: a run brought back asks again for what it asked before


class RunTimers:
    """A heap of due times. What is dropped before it is due stays there until half of the heap is of that kind."""

    def __init__(self, fire: Fire) -> None:
        """Call `fire` for each timer that is due, in the event loop."""
        self._fire = fire
        self._heap: list[_ScheduledTimer] = []
        self._order = itertools.count()
        self._known: dict[PartitionAssignment, dict[str, _OfRun]] = {}
        self._waiting = 0
        self._handle: asyncio.TimerHandle | None = None
        self._armed_for = 0

    def add(self, owned: PartitionAssignment, run_id: str, timer: Timer) -> None:
        """Remember a timer of a run, as long as its assignment lives."""
        if not owned.live:
            return
        runs = self._known.get(owned)
        if runs is None:
            runs = self._known[owned] = {}
            owned.on_death.append(lambda: self._forget(owned))
        known = runs.setdefault(run_id, {})
        if (timer.path, timer.due_ms) in known:
            return
        due = clock.steady_ms() + timer.due_ms - clock.now_ms()
        one = known[timer.path, timer.due_ms] = _ScheduledTimer(due, next(self._order), owned, run_id, timer)
        heapq.heappush(self._heap, one)
        self._waiting += 1
        self._arm()

    def settle(self, owned: PartitionAssignment, run_id: str, entries: Iterable[Entry], *, ended: bool) -> None:
        """Drop what nobody waits for any more: all of a run that has ended, else what `entries` have settled."""
        runs = self._known.get(owned, {})
        known = runs.get(run_id)
        if known is None:
            return
        paths = None if ended else {path for entry in entries if (path := settles(entry)) is not None}
        if paths is None or paths:
            self._drop([one for (path, _), one in known.items() if paths is None or path in paths])

    def __len__(self) -> int:
        """Return how many timers wait."""
        return self._waiting

    def remembered(self) -> int:
        """Return how many are in memory, with those that were dropped."""
        return len(self._heap)

    def _forget(self, owned: PartitionAssignment) -> None:
        self._drop([one for known in self._known.get(owned, {}).values() for one in known.values()])
        self._known.pop(owned, None)

    def _drop(self, gone: Sequence[_ScheduledTimer]) -> None:
        for one in gone:
            self._take(one)
            one.timer = None
        if len(self._heap) > 2 * self._waiting + _SPARE:
            self._heap = [one for one in self._heap if one.timer is not None]
            heapq.heapify(self._heap)

    def _take(self, one: _ScheduledTimer) -> None:
        """Remember a timer no more."""
        timer, runs = one.timer, self._known.get(one.owned, {})
        known = runs.get(one.run_id)
        if timer is not None and known is not None and known.pop((timer.path, timer.due_ms), None) is not None:
            self._waiting -= 1
            if not known:
                del runs[one.run_id]

    def stop(self) -> None:
        """Fire nothing any more."""
        self._heap.clear()
        self._known.clear()
        self._waiting = 0
        if self._handle is not None:
            self._handle.cancel()

    def _arm(self) -> None:
        if not self._heap:
            return
        due = self._heap[0].due
        if self._handle is not None:
            if self._armed_for <= due:
                return
            self._handle.cancel()
        self._armed_for = due
        wait = max(due - clock.steady_ms(), 0) / 1000
        self._handle = asyncio.get_running_loop().call_later(min(wait, _LOOK_S), self._ring)

    def _ring(self, *_: Any) -> None:
        self._handle = None
        now = clock.steady_ms()
        early: list[_ScheduledTimer] = []
        while self._heap and self._heap[0].due <= now:
            one = heapq.heappop(self._heap)
            timer = one.timer
            if timer is None:
                continue
            if timer.path == NOT_BEFORE and timer.due_ms > clock.now_ms():
                early.append(one)  # the clock was set back
                continue
            self._take(one)
            if one.owned.live:
                self._fire(one.owned, one.run_id, timer)
        for one in early:
            if one.timer is not None:
                one.due = now + one.timer.due_ms - clock.now_ms()
                heapq.heappush(self._heap, one)
        self._arm()
