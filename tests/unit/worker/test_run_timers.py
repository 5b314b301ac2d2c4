"""One clockwork for all timers, on a loop and a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from streams import clock
from streams.engine.decision import Timer
from streams.engine.entry import Entry
from streams.engine.timers import NOT_BEFORE
from streams.runtime.assignment import PartitionAssignment
from streams.worker.runs.run_timers import RunTimers
from tests.unit.runtime._fakes import owned_assignment


class Handle:
    """A call that is set for later."""

    def __init__(self, at: int, call: Callable[[], None]) -> None:
        self.at = at
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """A loop whose time stands still until it is told."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.set_by_ms = 0  # how far somebody has set the wall clock
        self.handles: list[Handle] = []

    def call_later(self, seconds: float, call: Callable[[], None]) -> Handle:
        self.handles.append(Handle(self.now_ms + round(seconds * 1000), call))
        return self.handles[-1]

    def until(self, now_ms: int) -> None:
        """Let time pass, ringing what is due on the way."""
        while True:
            due = [one for one in self.handles if not one.cancelled and one.at <= now_ms]
            if not due:
                break
            first = min(due, key=lambda one: one.at)
            self.handles.remove(first)
            self.now_ms = max(self.now_ms, first.at)
            first.call()
        self.now_ms = now_ms


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    made = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    monkeypatch.setattr(clock, "now_ms", lambda: made.now_ms + made.set_by_ms)
    monkeypatch.setattr(clock, "steady_ms", lambda: made.now_ms)
    return made


Fired = list[tuple[str, str, int]]


def clockwork(fired: Fired, loop: Loop) -> RunTimers:
    return RunTimers(lambda _owned, run_id, timer: fired.append((run_id, timer.path, loop.now_ms)))


def test_timers_fire_when_they_are_due_and_never_before(loop: Loop, tmp_path: Path) -> None:
    fired: Fired = []
    owned, timers = owned_assignment(tmp_path), clockwork(fired, loop)
    timers.add(owned, "late", Timer("1", 1_005_000))
    timers.add(owned, "soon", Timer("1", 1_002_000))
    timers.add(owned, "soon", Timer("2", 1_002_000))
    loop.until(1_001_999)
    assert fired == []
    loop.until(1_010_000)
    assert fired == [("soon", "1", 1_002_000), ("soon", "2", 1_002_000), ("late", "1", 1_005_000)]
    assert len(timers) == 0


def test_one_that_is_overdue_fires_at_once(loop: Loop, tmp_path: Path) -> None:
    fired: Fired = []
    clockwork(fired, loop).add(owned_assignment(tmp_path), "r", Timer("1", 5))
    loop.until(1_000_000)
    assert fired == [("r", "1", 1_000_000)]


def test_a_run_that_is_brought_back_does_not_get_its_timer_twice(loop: Loop, tmp_path: Path) -> None:
    fired: Fired = []
    owned, timers = owned_assignment(tmp_path), clockwork(fired, loop)
    for _ in range(3):
        timers.add(owned, "r", Timer("1", 1_002_000))
    loop.until(1_010_000)
    assert len(fired) == 1
    timers.add(owned, "r", Timer("1", 1_002_000))
    loop.until(1_010_000)
    assert len(fired) == 2, "it may ask again after it fired: the machine ignores what it does not wait for"


def test_timers_of_a_dead_slice_are_dropped(loop: Loop, tmp_path: Path) -> None:
    fired: Fired = []
    dead, alive, timers = owned_assignment(tmp_path, 0), owned_assignment(tmp_path, 1), clockwork(fired, loop)
    timers.add(dead, "r", Timer("1", 1_001_000))
    timers.add(alive, "s", Timer("1", 1_001_000))
    dead.kill()
    loop.until(1_010_000)
    assert fired == [("s", "1", 1_001_000)]


def test_one_that_is_a_week_away_fires_on_time(loop: Loop, tmp_path: Path) -> None:
    fired: Fired = []
    week = 1_000_000 + 7 * 24 * 3600 * 1000
    clockwork(fired, loop).add(owned_assignment(tmp_path), "r", Timer("1", week))
    loop.until(week + 1)
    assert fired == [("r", "1", week)]


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set_makes_no_timer_shorter_or_longer(loop: Loop, tmp_path: Path, hours: int) -> None:
    """Some timers come before the clock is set and some after it: each lasts as long as it was to last."""
    fired: Fired = []
    owned, timers = owned_assignment(tmp_path), clockwork(fired, loop)
    timers.add(owned, "before", Timer("1", 1_090_000))
    loop.until(1_030_000)
    loop.set_by_ms = hours * 3_600_000
    timers.add(owned, "after", Timer("1", 1_030_000 + loop.set_by_ms + 90_000))
    loop.until(1_200_000)
    assert fired == [("before", "1", 1_090_000), ("after", "1", 1_120_000)]


def test_a_begin_at_a_time_of_day_waits_for_a_clock_that_was_set_back(loop: Loop, tmp_path: Path) -> None:
    fired: Fired = []
    clockwork(fired, loop).add(owned_assignment(tmp_path), "r", Timer(NOT_BEFORE, 1_090_000))
    loop.until(1_030_000)
    loop.set_by_ms = -60_000
    loop.until(1_149_999)
    assert fired == []
    loop.until(1_150_000)
    assert fired == [("r", NOT_BEFORE, 1_150_000)]


def test_a_timer_added_by_a_firing_is_not_forgotten(loop: Loop, tmp_path: Path) -> None:
    owned = owned_assignment(tmp_path)
    fired: list[int] = []

    def fire(where: PartitionAssignment, run_id: str, timer: Timer) -> None:
        fired.append(timer.due_ms)
        if len(fired) < 4:
            timers.add(where, run_id, Timer("1", timer.due_ms + 1000))

    timers = RunTimers(fire)
    timers.add(owned, "r", Timer("1", 1_001_000))
    loop.until(1_100_000)
    assert fired == [1_001_000, 1_002_000, 1_003_000, 1_004_000]


def test_nothing_fires_after_stop(loop: Loop, tmp_path: Path) -> None:
    fired: Fired = []
    timers = clockwork(fired, loop)
    timers.add(owned_assignment(tmp_path), "r", Timer("1", 1_001_000))
    timers.stop()
    loop.until(1_100_000)
    assert fired == []


def entry(path: str, status: str = "completed", kind: str = "tool") -> Entry:
    values = {"status": status, "kind": kind, "run_id": "r", "path": path}
    return Entry(**{name: values.get(name) for name in Entry.__slots__})  # type: ignore[arg-type]


def test_what_is_settled_before_it_is_due_is_dropped_and_takes_no_memory(loop: Loop, tmp_path: Path) -> None:
    fired: Fired = []
    owned, timers = owned_assignment(tmp_path), clockwork(fired, loop)
    for number in range(10_000):
        timers.add(owned, f"run-{number}", Timer("~deadline", 90_000_000))
        timers.add(owned, f"run-{number}", Timer("1", 90_000_000))
        timers.settle(owned, f"run-{number}", [entry("1"), entry("2")], ended=False)
        timers.settle(owned, f"run-{number}", [], ended=number != 7)
    assert len(timers) == 1
    assert timers.remembered() < 200
    loop.until(100_000_000)
    assert fired == [("run-7", "~deadline", 90_000_000)]


def test_entries_settle_their_own_timers_alone(loop: Loop, tmp_path: Path) -> None:
    fired: Fired = []
    owned, timers = owned_assignment(tmp_path), clockwork(fired, loop)
    paths = ("~deadline", "1", "2", "3", "4")
    for path in paths:
        timers.add(owned, "r", Timer(path, 1_002_000))
        timers.add(owned, "other", Timer(path, 1_002_000))
    settled = [entry("1"), entry("2", "scheduled"), entry("3", "timed_out", "stage"), entry("4~end", kind="stage")]
    timers.settle(owned, "r", settled, ended=False)
    loop.until(1_010_000)
    assert [path for run_id, path, _ in fired if run_id == "r"] == ["~deadline", "2", "3"]
    assert [path for run_id, path, _ in fired if run_id == "other"] == list(paths)


def test_a_dead_slice_leaves_no_timers_in_memory(loop: Loop, tmp_path: Path) -> None:
    fired: Fired = []
    dead, timers = owned_assignment(tmp_path), clockwork(fired, loop)
    for number in range(1000):
        timers.add(dead, f"run-{number}", Timer("1", 90_000_000))
    dead.kill()
    dead.close()
    assert (len(timers), timers.remembered()) == (0, 0)
    timers.add(dead, "late", Timer("1", 90_000_000))
    assert len(timers) == 0
