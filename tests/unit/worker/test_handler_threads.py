"""Threads that functions never give back: named, not ready, and ended after a bound; slow ones are left alone."""

from __future__ import annotations

import asyncio
import threading

import pytest

from streams import clock
from streams.tools._threads import FunctionThreads
from streams.worker.handler_threads import HandlerThreads
from tests.faults.rig.waiting import until


class Scene:
    """Three threads and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)
        self.threads = FunctionThreads(3)
        self.gates: list[threading.Event] = []
        self.crashes: list[Exception] = []
        self.handlers = HandlerThreads(self.threads, 600, self.crashes.append)
        self.tasks: list[asyncio.Task[bool]] = []

    async def calls(self, count: int) -> None:
        """Call a function that waits so many times, and wait until they are where they can be."""
        for _ in range(count):
            key_gate = threading.Event()
            self.gates.append(key_gate)
            self.tasks.append(asyncio.create_task(self.threads.run(key_gate.wait)))
        await asyncio.sleep(0)
        await until(lambda: len(self.threads.held()) == min(len(self.tasks), 3))

    def figures(self) -> dict[str, float]:
        samples = [sample for metric in self.handlers.collect() for sample in metric.samples]
        return {sample.labels.get("state", "oldest"): sample.value for sample in samples}


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


async def test_functions_that_never_return_are_named_and_end_the_worker(scene: Scene) -> None:
    await scene.calls(5)
    scene.now += 10
    assert scene.handlers.trouble is None
    scene.now += 10
    trouble = scene.handlers.trouble or ""
    assert "2 plain functions wait for a thread and none has returned for 20 s" in trouble
    assert "3 threads are held: 3 by Event.wait" in trouble
    assert scene.figures() == {"running": 3, "waiting": 2, "oldest": 20}
    scene.handlers.look()
    assert scene.crashes == []
    scene.now += 580
    scene.handlers.look()
    assert "3 by Event.wait" in str(scene.crashes[0])
    for key_gate in scene.gates:
        key_gate.set()
    await asyncio.gather(*scene.tasks)
    assert scene.figures() == {"running": 0, "waiting": 0, "oldest": 0}


async def test_full_threads_without_anybody_who_waits_are_no_trouble(scene: Scene) -> None:
    await scene.calls(3)
    scene.now += 9_000
    scene.handlers.look()
    assert (scene.handlers.trouble, scene.crashes) == (None, [])
    for key_gate in scene.gates:
        key_gate.set()


async def test_one_that_returns_makes_room_and_the_wait_counts_anew(scene: Scene) -> None:
    await scene.calls(5)
    scene.now += 590
    scene.gates[0].set()
    await scene.tasks[0]
    await until(lambda: len(scene.threads.held()) == 3)
    scene.now += 14
    scene.handlers.look()
    assert (scene.handlers.trouble, scene.crashes) == (None, [])
    for key_gate in scene.gates:
        key_gate.set()
    await asyncio.gather(*scene.tasks)
