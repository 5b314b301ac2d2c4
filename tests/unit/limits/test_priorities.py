"""Runs of an agent with one permit over several workers: the first by rank is next, wherever it is queued."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streams import agent
from streams.limits.admission import AgentAdmission
from streams.limits.semaphore_client import Semaphore, SemaphoreClient
from streams.limits.semaphore_home import SemaphoreHome
from streams.worker.runs.dispatcher import HEAD_START_MS, RunDispatcher
from tests.unit.limits.fakes import Owned, Tasks, turns

HOME = "http://w0"


@agent(concurrency=1)
async def narrow() -> None:
    """Be limited."""


class Worker:
    """A dispatcher whose runs execute until the test ends them."""

    def __init__(self, world: World, number: int, *, direct: bool) -> None:
        self.url, self.owned = f"http://w{number}", cast("Any", Owned())
        self.semaphores = SemaphoreClient(
            lambda *_: HOME,
            world.send,
            world.tasks.spawn,
            f"w{number}",
            self.url,
            now=world.permits_now if direct else None,
        )
        agents: dict[str, Any] = {"narrow": narrow}
        admission = AgentAdmission(cast("Any", None), self.semaphores)
        self.dispatcher = RunDispatcher(agents, self.begin, admission, world.tasks.spawn)
        self.world = world

    def begin(self, _owned: Any, run_id: str) -> None:
        self.world.begun.append(run_id)
        live = SimpleNamespace(agent=narrow, executing=False)
        self.world.executing.append((self, live))
        self.dispatcher.woke(cast("Any", live))

    def add(self, run_id: str, priority: str, created_ms: int) -> None:
        self.dispatcher.add(self.owned, run_id, "narrow", priority, created_ms)


class World:
    """So many workers, of which the first is the home."""

    def __init__(self, count: int, *, direct: bool) -> None:
        self.tasks, self.begun = Tasks(), list[str]()
        self.executing: list[tuple[Worker, Any]] = []
        self.workers = [Worker(self, number, direct=direct and number == 0) for number in range(count)]
        peers = SimpleNamespace(id="w0", holder="w0", url=HOME, others=list, settled=lambda: True, post=self.nobody)
        self.home = SemaphoreHome(cast("Any", peers), lambda _names: {}, self.tasks.spawn, self.call)

    def permits_now(self, semaphore: Semaphore, worker: str, held: int, ranks: list[int]) -> int | None:
        """Answer the worker beside the home at once."""
        return self.home.now(semaphore.name, worker, semaphore.size, held, ranks)

    async def send(self, _url: str, body: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        return await self.home.answer(body)

    async def nobody(self, *_: Any) -> None:
        """Nobody else is there to be asked."""

    async def call(self, url: str, limits: list[str]) -> bool:
        next(one for one in self.workers if one.url == url).semaphores.called(limits)
        return True

    async def all_begin(self, count: int) -> None:
        """End each run when it has begun and the others have had their say."""
        for number in range(count):
            await turns(lambda: len(self.begun) > number)  # noqa: B023 - it is asked at once
            assert len(self.executing) == 1
            await settle()
            worker, live = self.executing.pop()
            worker.dispatcher.rested(live)


async def settle() -> None:
    """Let all messages arrive."""
    for _ in range(100):
        await asyncio.sleep(0)


@pytest.mark.parametrize("direct", [True, False], ids=["beside-its-home", "by-messages"])
@pytest.mark.parametrize("low", [0, 1], ids=["low-at-home", "high-at-home"])
async def test_high_priority_is_next_wherever_it_is_queued(low: int, direct: bool) -> None:
    world = World(2, direct=direct)
    for number in range(9):
        world.workers[low].add(f"low-{number}", "low", number)
    await settle()
    for number in range(6):
        world.workers[1 - low].add(f"high-{number}", "high", 100 + number)
    await settle()
    await world.all_begin(15)
    first, *rest = world.begun
    assert first == "low-0", "it had begun before"
    assert rest == [f"high-{number}" for number in range(6)] + [f"low-{number}" for number in range(1, 9)]


@pytest.mark.parametrize("direct", [True, False], ids=["beside-its-home", "by-messages"])
async def test_low_priority_is_passed_by_for_two_minutes_at_most(direct: bool) -> None:
    world = World(3, direct=direct)
    world.workers[0].add("begun", "default", -1)
    await settle()
    world.workers[0].add("low", "low", 0)
    overtakes = HEAD_START_MS["low"] - HEAD_START_MS["high"]
    assert overtakes == 120_000
    for number, worker in enumerate(world.workers[1:]):
        worker.add(f"sooner-{number}", "high", overtakes - 2 + number)
        worker.add(f"later-{number}", "high", overtakes + 1 + number)
    await settle()
    await world.all_begin(6)
    assert world.begun == ["begun", "sooner-0", "sooner-1", "low", "later-0", "later-1"]


async def test_runs_of_three_workers_begin_in_one_order() -> None:
    world = World(3, direct=True)
    for number in range(30):
        world.workers[number * 7 % 3].add(str(number), "default", number)
        await settle()
    await world.all_begin(30)
    assert world.begun == [str(number) for number in range(30)]
