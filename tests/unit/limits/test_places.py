"""Places over several workers, by the messages that they exchange with their home."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from streams.worker.limits.places import Places, Room
from streams.worker.limits.rooms import Rooms
from tests.unit.limits.fakes import Tasks, turns

ROOM = Room("default", "tool:x", 3)


class World:
    """A home and so many workers."""

    def __init__(self, count: int) -> None:
        self.tasks = Tasks()
        self.most = self.inside = self.done = 0
        self.workers = {f"http://w{number}": self.worker(number) for number in range(count)}
        self.home = self.new_home()

    def worker(self, number: int) -> Places:
        return Places(
            lambda _pool, _name: "http://home", self.send, self.tasks.spawn, f"w{number}", f"http://w{number}"
        )

    def new_home(self) -> Rooms:
        peers = SimpleNamespace(
            id="home", url="http://w0", others=lambda: list(self.workers), settled=lambda: True, post=self.post
        )
        return Rooms(cast("Any", peers), lambda _names: {}, self.tasks.spawn, self.call)

    async def send(self, _url: str, body: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        return await self.home.answer(body)

    async def post(self, url: str, _path: str, body: dict[str, Any], _seconds: float) -> dict[str, Any]:
        return {"worker": url.removeprefix("http://"), "held": self.workers[url].held(body["limits"])}

    async def call(self, url: str, limits: list[str]) -> None:
        self.workers[url].called(limits)

    async def use(self, places: Places) -> None:
        await places.take(ROOM)
        self.inside += 1
        self.most = max(self.most, self.inside)
        for _ in range(7):
            await asyncio.sleep(0)
        self.inside -= 1
        self.done += 1
        places.free(ROOM)


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
    (places,) = world.workers.values()
    for _ in range(4):
        places.force(ROOM)
    waiting = world.tasks.spawn(places.take(ROOM))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not waiting.done()
    for _ in range(2):
        places.free(ROOM)
    await turns(waiting.done)


async def test_who_gives_up_leaves_the_place_to_the_next() -> None:
    world = World(1)
    (places,) = world.workers.values()
    for _ in range(3):
        await places.take(ROOM)
    first, second = world.tasks.spawn(places.take(ROOM)), world.tasks.spawn(places.take(ROOM))
    await asyncio.sleep(0)
    first.cancel()
    places.free(ROOM)
    await turns(second.done)
    assert first.cancelled()


async def test_beside_its_home_a_worker_waits_for_no_turn_of_the_loop() -> None:
    world = World(2)
    near, far = world.workers.values()
    await far.take(ROOM)  # the home knows who is inside from now on
    near.now = lambda room, worker, held, wanted: world.home.now(room.name, worker, room.size, held, wanted)
    assert [near.take_now(ROOM) for _ in range(3)] == [True, True, False]
    waiting = world.tasks.spawn(near.take(ROOM))
    await turns(lambda: near.figures()["tool:x"] == (2, 1))
    assert not near.take_now(ROOM), "nobody who waits is overtaken"
    far.free(ROOM)
    await turns(waiting.done)
