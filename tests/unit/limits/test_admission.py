"""Runs of limited agents begin when they are admitted: the first in rank then, and no place is lost."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from streams import agent, clock
from streams.limits.admission import AdmissionGrant, AgentAdmission
from streams.worker.runs.dispatcher import RunDispatcher
from tests.unit.limits.fakes import Owned, Tasks


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no turn of the loop be over for the time that it takes: a pause of the machine is longer than what it may."""
    monkeypatch.setattr(clock, "monotonic", lambda: 100.0)


@agent(concurrency=2)
async def narrow() -> None:
    """Be limited."""


@agent
async def wide() -> None:
    """Be not limited."""


class Doors(AgentAdmission):
    """Lets in whoever a test lets in."""

    def __init__(self) -> None:
        self.open = asyncio.Queue[AdmissionGrant]()
        self.freed = self.forced = 0

    def at_once(self, agent: Any, rank: int) -> AdmissionGrant | None:
        return None

    def reordered(self, agent: Any) -> None:
        """Nobody else waits."""

    async def admit(self, agent: Any, ranks: Any) -> AdmissionGrant:
        return await self.open.get()

    def force(self, agent: Any) -> None:
        self.forced += 1

    def free(self, agent: Any) -> None:
        self.freed += 1


class Live:
    """A run in memory."""

    def __init__(self) -> None:
        self.agent, self.executing = narrow, False


class World:
    """A dispatcher, and runs that execute or wait at once."""

    def __init__(self, *, wait: bool = False) -> None:
        self.doors, self.tasks, self.begun = Doors(), Tasks(), list[str]()
        self.lives: list[Live] = []
        self.wait = wait
        self.owned = cast("Any", Owned())
        agents: dict[str, Any] = {"narrow": narrow, "wide": wide}
        self.dispatcher = RunDispatcher(agents, self.begin, self.doors, self.tasks.spawn)

    def begin(self, _owned: Any, run_id: str) -> None:
        self.begun.append(run_id)
        if not self.wait:
            self.lives.append(Live())
            self.dispatcher.woke(cast("Any", self.lives[-1]))

    async def let(self, *given: AdmissionGrant) -> None:
        for one in given:
            self.doors.open.put_nowait(one)
        for _ in range(20):
            await asyncio.sleep(0)


async def test_an_agent_without_limits_waits_for_nobody() -> None:
    world = World()
    world.dispatcher.add(world.owned, "w", "wide", "default", 1)
    await world.let()
    assert world.begun == ["w"]


async def test_the_first_in_rank_begins_when_there_is_a_place() -> None:
    world = World()
    world.dispatcher.add(world.owned, "old", "narrow", "default", 1)
    await world.let()
    world.dispatcher.add(world.owned, "urgent", "narrow", "high", 2)
    await world.let(AdmissionGrant(placed=True, deadline=None))
    assert world.begun == ["urgent"]
    assert (world.doors.forced, world.doors.freed) == (0, 0)
    world.dispatcher.rested(cast("Any", world.lives[0]))
    assert world.doors.freed == 1


async def test_a_place_that_no_run_takes_is_given_back() -> None:
    world = World(wait=True)
    world.dispatcher.add(world.owned, "sleeper", "narrow", "default", 1)
    await world.let(AdmissionGrant(placed=True, deadline=None))
    assert (world.begun, world.doors.freed) == (["sleeper"], 1)


async def test_a_grant_that_is_late_begins_nothing_and_is_asked_for_again() -> None:
    world = World()
    world.dispatcher.add(world.owned, "run", "narrow", "default", 1)
    await world.let(AdmissionGrant(placed=True, deadline=float("-inf")))
    assert (world.begun, world.doors.freed) == ([], 1)
    await world.let(AdmissionGrant(placed=True, deadline=None))
    assert world.begun == ["run"]


async def test_runs_of_a_slice_that_is_gone_are_passed_over() -> None:
    world = World()
    gone = Owned()
    world.dispatcher.add(cast("Any", gone), "gone", "narrow", "default", 1)
    world.dispatcher.add(world.owned, "here", "narrow", "default", 2)
    await world.let()
    gone.live = False
    await world.let(AdmissionGrant(placed=True, deadline=None))
    assert world.begun == ["here"]


async def test_a_run_that_goes_on_takes_a_place_of_its_own() -> None:
    world = World()
    world.dispatcher.woke(cast("Any", Live()))
    assert world.doors.forced == 1
