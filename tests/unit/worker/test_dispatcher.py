"""Who begins next: the oldest, with a head start for priority, within the agent's capacity, never of a dead one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

import pytest

from streams import clock
from streams.define.agents import Agent
from streams.limits.admission import AgentAdmission
from streams.runtime.assignment import PartitionAssignment
from streams.worker.runs.active_run import ActiveRun
from streams.worker.runs.dispatcher import RunDispatcher
from tests.unit.runtime._fakes import owned_assignment

MINUTE = 60_000


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no turn of the loop be over for the time that it takes: a pause of the machine is longer than what it may."""
    monkeypatch.setattr(clock, "monotonic", lambda: 100.0)


async def nothing() -> None:
    """Be an agent's function."""


class Unlimited:
    """Admission without limits beyond the worker."""

    def limited(self, _agent: object) -> bool:
        return False


class Run:
    """What the dispatcher knows of a run in memory."""

    def __init__(self, agent: Agent[Any, Any]) -> None:
        self.agent = agent
        self.executing = False


class Hall:
    """A dispatcher whose begun runs are noted, and executing until told otherwise."""

    def __init__(self, places: int | None = None) -> None:
        self.agent: Agent[Any, Any] = Agent("a", nothing, None, None, concurrency=places)
        self.begun: list[str] = []
        self.runs: dict[str, Run] = {}

        def spawn(_work: Coroutine[Any, Any, None]) -> object:
            raise AssertionError("without limits nobody is asked")

        self.dispatcher = RunDispatcher({"a": self.agent}, self._begin, cast("AgentAdmission", Unlimited()), spawn)

    def _begin(self, _owned: PartitionAssignment, run_id: str) -> None:
        self.begun.append(run_id)
        self.runs[run_id] = Run(self.agent)
        self.dispatcher.woke(cast("ActiveRun", self.runs[run_id]))

    def add(self, owned: PartitionAssignment, run_id: str, priority: str = "default", created: int = 0) -> None:
        self.dispatcher.add(owned, run_id, "a", priority, created)

    async def ends(self, run_id: str) -> None:
        self.dispatcher.rested(cast("ActiveRun", self.runs[run_id]))
        await asyncio.sleep(0)


async def test_a_run_begins_in_a_later_turn_so_that_its_intake_is_handed_over_first(tmp_path: Path) -> None:
    hall = Hall()
    hall.add(owned_assignment(tmp_path), "r")
    assert hall.begun == []
    await asyncio.sleep(0)
    assert hall.begun == ["r"]


async def test_no_more_begin_than_there_are_places(tmp_path: Path) -> None:
    hall, owned = Hall(places=2), owned_assignment(tmp_path)
    for number in range(5):
        hall.add(owned, f"r{number}", created=number)
    await asyncio.sleep(0)
    assert hall.begun == ["r0", "r1"]
    assert (hall.dispatcher.queued(), hall.dispatcher.executing()) == ({"a": 3}, 2)
    await hall.ends("r1")
    assert hall.begun == ["r0", "r1", "r2"]


async def test_high_overtakes_default_and_low_but_nobody_starves(tmp_path: Path) -> None:
    """A low run is overtaken for two minutes at most."""
    hall, owned = Hall(places=1), owned_assignment(tmp_path)
    hall.add(owned, "first", created=0)
    await asyncio.sleep(0)
    hall.add(owned, "low", "low", created=1)
    hall.add(owned, "default", created=2)
    hall.add(owned, "high", "high", created=3)
    hall.add(owned, "high, two minutes later", "high", created=2 * MINUTE + 2)
    order = []
    for _ in range(4):
        await hall.ends(hall.begun[-1])
        order.append(hall.begun[-1])
    assert order == ["high", "default", "low", "high, two minutes later"]


async def test_equals_begin_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    hall, owned = Hall(), owned_assignment(tmp_path)
    for number in range(50):
        hall.add(owned, f"r{number}")
    await asyncio.sleep(0)
    assert hall.begun == [f"r{number}" for number in range(50)]


async def test_queued_runs_of_a_dead_slice_are_passed_over(tmp_path: Path) -> None:
    hall, dead, alive = Hall(places=1), owned_assignment(tmp_path, 0), owned_assignment(tmp_path, 1)
    hall.add(dead, "gone")
    hall.add(alive, "here", created=1)
    dead.kill()
    await asyncio.sleep(0)
    assert hall.begun == ["here"]


async def test_a_place_is_given_back_once(tmp_path: Path) -> None:
    hall, owned = Hall(places=1), owned_assignment(tmp_path)
    for number in range(3):
        hall.add(owned, f"r{number}", created=number)
    await asyncio.sleep(0)
    await hall.ends("r0")
    await hall.ends("r0")
    assert hall.begun == ["r0", "r1"]


async def test_a_run_that_goes_on_takes_its_place_again(tmp_path: Path) -> None:
    hall, owned = Hall(places=1), owned_assignment(tmp_path)
    hall.add(owned, "waits")
    await asyncio.sleep(0)
    await hall.ends("waits")
    hall.dispatcher.woke(cast("ActiveRun", hall.runs["waits"]))
    hall.add(owned, "next")
    await asyncio.sleep(0)
    assert hall.begun == ["waits"]
    await hall.ends("waits")
    assert hall.begun == ["waits", "next"]


async def test_a_paused_queue_keeps_its_runs_and_goes_on_in_order(tmp_path: Path) -> None:
    hall, here, there = Hall(), owned_assignment(tmp_path, 0), owned_assignment(tmp_path, 1)
    hall.add(here, "before", created=1)
    hall.dispatcher.pause(here, "a")
    hall.dispatcher.pause(here, "a")
    hall.add(here, "later", created=3)
    hall.add(here, "urgent", "high", created=4)
    hall.add(there, "elsewhere", created=5)
    await asyncio.sleep(0)
    assert hall.begun == ["elsewhere"]
    assert (hall.dispatcher.queued(), hall.dispatcher.paused()) == ({"a": 3}, {"a"})
    hall.dispatcher.resume(here, "a")
    await asyncio.sleep(0)
    assert hall.begun[1:] == ["urgent", "before", "later"]
    assert (hall.dispatcher.queued(), hall.dispatcher.paused()) == ({"a": 0}, set())


async def test_a_pause_is_forgotten_with_its_slice(tmp_path: Path) -> None:
    hall, owned = Hall(), owned_assignment(tmp_path)
    hall.dispatcher.pause(owned, "a")
    hall.add(owned, "r")
    owned.kill()
    owned.close()
    assert (hall.dispatcher.queued(), hall.dispatcher.paused()) == ({"a": 0}, set())
    hall.dispatcher.resume(owned, "a")
    await asyncio.sleep(0)
    assert hall.begun == []


def test_why_a_run_waits_is_said(tmp_path: Path) -> None:
    hall = Hall(places=1)
    assert hall.dispatcher.why("a") == "its turn has not come"
    assert "does not have agent 'b'" in hall.dispatcher.why("b")
    assert "concurrency key 'eu'" in hall.dispatcher.why("a", "eu")
    hall.dispatcher.woke(cast("ActiveRun", Run(hall.agent)))
    assert hall.dispatcher.why("a") == "all 1 places of agent 'a' are taken"
    hall.dispatcher.pause(owned_assignment(tmp_path), "a")
    assert "is paused: `streams agents resume a`" in hall.dispatcher.why("a")
