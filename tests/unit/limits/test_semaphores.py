"""Places over several workers, by the messages that they exchange with their home."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streams.limits import semaphore_home
from streams.limits.semaphore_client import Semaphore, SemaphoreClient
from streams.limits.semaphore_home import SemaphoreHome
from tests.faults.rig.waiting import until
from tests.unit.limits.fakes import Tasks, turns

ROOM = Semaphore("default", "tool:x", 3)
ROOM_1 = Semaphore("default", "agent:x", 1)


class World:
    """A home and so many workers."""

    def __init__(self, count: int, *, near: Container[str] = ()) -> None:
        self.tasks = Tasks()
        self.near = near  # workers in the home's process
        self.most = self.inside = self.done = 0
        self.deaf: set[str] = set()  # URLs at which nobody answers
        self.entered: list[int] = []
        self.workers = {f"http://w{number}": self.worker(number) for number in range(count)}
        self.home = self.new_home()

    def worker(self, number: int) -> SemaphoreClient:
        return SemaphoreClient(
            lambda _pool, _name: "http://home",
            self.send,
            self.tasks.spawn,
            f"w{number}",
            f"http://w{number}",
            now=self.permits_now,
        )

    def permits_now(self, semaphore: Semaphore, worker: str, held: int, ranks: list[int]) -> int | None:
        """Answer a worker in the home's process at once."""
        return self.home.now(semaphore.name, worker, semaphore.size, held, ranks) if worker in self.near else None

    def new_home(self) -> SemaphoreHome:
        peers = SimpleNamespace(
            holder="home", url="http://w0", others=lambda: list(self.workers), settled=lambda: True, post=self.post
        )
        return SemaphoreHome(cast("Any", peers), lambda _names: {}, self.tasks.spawn, self.call)

    async def send(self, _url: str, body: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        return await self.home.answer(body)

    async def post(self, url: str, _path: str, body: dict[str, Any], _seconds: float) -> dict[str, Any]:
        return {"worker": url.removeprefix("http://"), "held": self.workers[url].held(body["limits"])}

    async def call(self, url: str, limits: list[str]) -> bool:
        if url in self.deaf:
            return False
        self.workers[url].called(limits)
        return True

    async def run(self, semaphores: SemaphoreClient, rank: int, ranks: list[int]) -> None:
        """Wait with a queue of ranks, as the runs of an agent do; the first of the queue goes in."""
        await semaphores.take(ROOM_1, lambda count: sorted(ranks)[:count])
        ranks.remove(min(ranks))
        self.entered.append(rank)

    async def use(self, semaphores: SemaphoreClient) -> None:
        await semaphores.take(ROOM)
        self.inside += 1
        self.most = max(self.most, self.inside)
        for _ in range(7):
            await asyncio.sleep(0)
        self.inside -= 1
        self.done += 1
        semaphores.free(ROOM)


async def test_never_more_are_inside_than_there_are_places_and_all_come_in() -> None:
    world = World(3)
    for number in range(60):
        world.tasks.spawn(world.use(world.workers[f"http://w{number % 3}"]))
    await turns(lambda: world.done == 60, 20_000)
    assert world.most == 3


async def test_a_new_home_learns_who_is_inside() -> None:
    world = World(2)
    one, two = world.workers.values()
    for _ in range(3):
        await one.take(ROOM)
    world.home = world.new_home()
    waiting = world.tasks.spawn(two.take(ROOM))
    await turns(lambda: two.figures().get("tool:x") == (0, 1))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not waiting.done()
    one.free(ROOM)
    await turns(waiting.done)


async def test_a_run_that_goes_on_has_a_place_at_once() -> None:
    world = World(1)
    (semaphores,) = world.workers.values()
    for _ in range(4):
        semaphores.force(ROOM)
    waiting = world.tasks.spawn(semaphores.take(ROOM))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not waiting.done()
    for _ in range(2):
        semaphores.free(ROOM)
    await turns(waiting.done)


async def test_who_gives_up_leaves_the_place_to_the_next() -> None:
    world = World(1)
    (semaphores,) = world.workers.values()
    for _ in range(3):
        await semaphores.take(ROOM)
    first, second = world.tasks.spawn(semaphores.take(ROOM)), world.tasks.spawn(semaphores.take(ROOM))
    await asyncio.sleep(0)
    first.cancel()
    semaphores.free(ROOM)
    await turns(second.done)
    assert first.cancelled()


async def test_beside_its_home_a_worker_waits_for_no_turn_of_the_loop() -> None:
    world = World(2, near={"w0"})
    near, far = world.workers.values()
    await far.take(ROOM)  # the home knows who is inside from now on
    assert [near.take_now(ROOM, 1) for _ in range(3)] == [True, True, False]
    waiting = world.tasks.spawn(near.take(ROOM))
    await turns(lambda: near.figures()["tool:x"] == (2, 1))
    assert not near.take_now(ROOM, 1), "nobody who waits is overtaken"
    far.free(ROOM)
    await turns(waiting.done)


async def queues(world: World) -> tuple[SemaphoreClient, SemaphoreClient, list[int], list[int]]:
    """Hold the one permit at the first worker and let three runs of rank 10 wait there, three of rank 5 elsewhere."""
    one, two = world.workers.values()
    await one.take(ROOM_1)
    low, high = [10, 10, 10], [5, 5, 5]
    for semaphores, ranks in ((one, low), (two, high)):
        for _ in range(3):
            world.tasks.spawn(world.run(semaphores, ranks[0], ranks))
    await settle()
    return one, two, low, high


async def settle() -> None:
    """Let all messages arrive."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_the_first_of_all_workers_gets_the_next_permit() -> None:
    world = World(2)
    one, two, _, _ = await queues(world)
    one.free(ROOM_1)
    for number in range(6):
        await turns(lambda: len(world.entered) == number + 1)  # noqa: B023 - it is asked at once
        (two if world.entered[-1] == 5 else one).free(ROOM_1)
    assert world.entered == [5, 5, 5, 10, 10, 10]


async def test_one_that_comes_later_with_a_lower_rank_goes_before_those_who_wait() -> None:
    world = World(2)
    one, _, low, _ = await queues(world)
    low.append(1)
    one.reordered(ROOM_1)
    await settle()
    one.free(ROOM_1)
    await turns(lambda: bool(world.entered))
    assert low == [10, 10, 10], "the run of rank 1 has begun"


async def test_a_worker_that_is_gone_leaves_its_permit_and_its_turn_to_the_next() -> None:
    world = World(2)
    one, two, _, high = await queues(world)
    three = world.workers["http://w2"] = world.worker(2)
    world.tasks.spawn(world.run(three, 20, [20]))
    await settle()
    world.home.left("w0")
    await turns(lambda: world.entered == [5])
    assert high == [5, 5]
    assert one.figures()["agent:x"] == (1, 3)
    world.home.left("w1")
    await turns(lambda: world.entered == [5, 20])
    assert two.figures()["agent:x"] == (1, 2)


async def test_a_worker_that_cannot_be_called_keeps_nobody_waiting() -> None:
    world = World(2)
    one, _, _, _ = await queues(world)
    world.deaf.add("http://w1")
    one.free(ROOM_1)
    await turns(lambda: world.entered == [10])


async def test_a_worker_that_hears_and_does_not_come_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semaphore_home, "COME_S", 0.01)
    world = World(2)
    one, two, _, _ = await queues(world)
    monkeypatch.setattr(two, "called", lambda _limits: None)
    one.free(ROOM_1)
    await until(lambda: bool(world.entered))
    assert world.entered == [10]


async def test_a_home_takes_the_requests_of_an_older_version() -> None:
    """It tells how many wait and no ranks: they come after those who have waited before."""
    home = World(2).home
    ask = {"worker": "old", "url": "http://w0", "limit": "tool:x", "pool": "default", "size": 3}
    assert await home.answer({**ask, "held": 0, "wanted": 2}) == {"given": 2}
    assert await home.answer({**ask, "held": 2, "wanted": 5}) == {"given": 1}
