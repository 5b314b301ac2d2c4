"""A worker that gets nothing although records wait: told after a while, ended after a longer one, and only then."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streams import clock
from streams.runtime import watchdog
from streams.runtime.watchdog import LoopLagWatch, StallWatch

LOOK_S = 5.0


class Source:
    """A source as the consumer's thread and the committer move it."""

    def __init__(self, applied: int) -> None:
        self.applied = self.given = applied
        self.end = (-1, -1)
        self.queue: list[str] = []


class Scene:
    """A worker as the watchdog sees it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)
        self.source = Source(7)
        self.lag: int | None = 0
        self.other = Source(7)
        owned = SimpleNamespace(ready=True, partition=0, sources={"t": self.source, "u": self.other})
        self.runtime = SimpleNamespace(
            assignments={0: owned}, polls=0, holds_back=False, settings=SimpleNamespace(client={})
        )
        self.crashes: list[Exception] = []
        self.stall = StallWatch(cast("Any", self.runtime), self.crashes.append)
        self.stall._lags = cast("Any", self)

    def of(self, _assignments: Sequence[object]) -> dict[tuple[str, int], int] | None:
        return None if self.lag is None else {("t", 0): self.lag, ("u", 0): 0}

    async def passes(self, seconds: float) -> None:
        """Let so much time go by, with the consumer's thread turning."""
        for _ in range(round(seconds / LOOK_S)):
            self.now += LOOK_S
            self.runtime.polls += 1
            await self.stall.look()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


async def test_it_is_told_first_and_ended_within_a_minute(scene: Scene) -> None:
    await scene.passes(60)
    scene.lag = 3
    await scene.passes(15)
    assert (scene.stall.trouble, scene.crashes) == (None, [])
    await scene.passes(5)
    assert scene.stall.trouble == "partition 0 of t was not read for 20 s while 3 records wait"
    await scene.passes(30)
    assert str(scene.crashes[0]) == (
        "partition 0 of t was not read for 50 s while 3 records wait: this worker ends, to be started again"
    )


async def test_one_record_that_is_done_takes_the_word_back(scene: Scene) -> None:
    scene.lag = 3
    await scene.passes(25)
    scene.source.applied += 1
    await scene.passes(5)
    assert (scene.stall.trouble, scene.crashes) == (None, [])


async def test_long_work_on_what_was_read_is_no_stall(scene: Scene) -> None:
    scene.lag, scene.source.queue = 3, ["a batch"]
    await scene.passes(300)
    assert (scene.stall.trouble, scene.crashes) == (None, [])


async def test_a_partition_that_stands_still_ends_the_process_while_others_go_on(scene: Scene) -> None:
    """A fetcher may lose one partition: the worker looked alive by the others, and a table never came to its count."""
    scene.lag = 3
    for _ in range(11):
        scene.other.applied += 1
        await scene.passes(5)
    assert "partition 0 of t was not read" in str(scene.crashes[0])


async def test_memory_that_is_full_of_records_explains_it(scene: Scene) -> None:
    scene.lag, scene.runtime.holds_back = 3, True
    await scene.passes(300)
    assert (scene.stall.trouble, scene.crashes) == (None, [])


async def test_a_broker_that_does_not_answer_explains_it(scene: Scene) -> None:
    scene.lag = 3
    await scene.passes(25)
    scene.lag = None
    await scene.passes(300)
    assert (scene.stall.trouble, scene.crashes) == (None, [])


async def test_a_consumers_thread_that_stands_still_ends_the_process_whatever_the_broker_says(scene: Scene) -> None:
    scene.lag = None
    await scene.passes(60)
    for _ in range(10):
        scene.now += LOOK_S
        await scene.stall.look()
    assert str(scene.crashes[0]) == "the consumer's thread has stood still for 50 s: this worker has stopped"


def late_while(blocked: Callable[[], None]) -> Callable[[], float]:
    """Return a clock by which time passes, with each look, only while this thread waits for good in a function.

    By the machine's own, a pause before that would be told of, with whatever is under way then.
    """
    thread, passed = threading.get_ident(), itertools.count(1.0, 0.01)
    reached = 1.0

    def now() -> float:
        nonlocal reached
        frame = sys._current_frames()[thread]
        in_wait = frame.f_code is threading.Condition.wait.__code__ and "gotit" in frame.f_locals
        callers = frame.f_back and frame.f_back.f_back
        if in_wait and callers and callers.f_code is blocked.__code__:
            reached = next(passed)
        return reached

    return now


async def test_the_function_that_blocks_the_loop_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a thread of its own, while the loop is blocked; and once for each time."""
    monkeypatch.setattr(watchdog, "_BLOCKED_S", 0.02)
    logged: list[str] = []
    heard = threading.Event()

    def warning(text: str, *args: object) -> None:
        logged.append(text % args)
        heard.set()

    def slow_library() -> None:
        assert heard.wait(60)

    monkeypatch.setattr(clock, "monotonic", late_while(slow_library))
    monkeypatch.setattr(watchdog, "log", SimpleNamespace(warning=warning))
    watch = LoopLagWatch()
    watch.start()
    slow_library()
    watch.stop()
    assert len(logged) == 1
    assert "blocked for" in logged[0]
    assert "by wait (" in logged[0], "where it blocks"
    assert f"in slow_library ({__file__}:" in logged[0], "and who called that"


def test_a_process_that_was_stopped_has_not_blocked_its_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its clock has gone on, but neither the loop nor the thread that watches it, nor any code, has run."""
    now, looks = itertools.count(1.0, 1000.0), iter([False, True] * 2)
    monkeypatch.setattr(clock, "monotonic", lambda: next(now))
    monkeypatch.setattr(clock, "process_time", lambda: 0.0)
    watch = LoopLagWatch()
    monkeypatch.setattr(watch._stop, "wait", lambda _seconds: next(looks))
    watch._watch()
    assert caplog.messages == []
    cpu = itertools.count(1.0, 5.0)  # code has run all the time, and nothing else
    monkeypatch.setattr(clock, "process_time", lambda: next(cpu))
    watch._watch()
    assert len(caplog.messages) == 1
    assert "blocked for 5.5 s" in caplog.messages[0]
