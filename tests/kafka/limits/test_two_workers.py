"""Limits over two real workers: exact under load, and used."""

from __future__ import annotations

import asyncio
import statistics

import pytest

from schemas.attributes import milliseconds
from streams.limits.circuit import GOSSIP_S
from tests.faults.rig.pipeline import Pipeline, Worker
from tests.faults.rig.waiting import until
from tests.kafka.limits.lines import busiest, lines, processes, times, together

pytestmark = pytest.mark.asyncio(loop_scope="module")
LIMIT, PER_S = 30, 10.0


def used(at: list[float]) -> float:
    """Return how much of the limit was used: a window's part of the time that as many calls took, in the middle of all.

    Not of the time from the first call to the last one, in which whatever holds the machine up once counts for all.
    """
    return PER_S / statistics.median(later - call for call, later in zip(at, at[LIMIT:], strict=False))


async def begun(pipeline: Pipeline, runs: list[str]) -> list[float]:
    """Return when runs began, sorted, as their journals have it: first steps come after a commit of any length."""
    found = []
    for run_id in runs:
        for worker in pipeline.workers:
            answer = await worker.owner.get(f"/owner/runs/{run_id}/history")
            if answer.status_code == 200:
                entries = answer.json()["entries"]
                found.append(milliseconds(next(one for one in entries if one["kind"] == "started")["started_at"]))
    return sorted(at / 1000 for at in found)


async def test_a_rate_holds_over_both_workers_and_is_used(shared: Pipeline) -> None:
    runs = await shared.submit_many(120, "pacer")
    await shared.ended(runs)
    at = times(shared.effects_folder, "paced")
    assert len(at) == 120
    assert len(processes(shared.effects_folder, "paced")) == 2
    assert busiest(at, PER_S) <= LIMIT
    assert used(at) >= 0.9, f"{used(at):.3f}"


async def test_a_rate_of_agents_and_an_unrecorded_one_hold(shared: Pipeline) -> None:
    starters = await shared.submit_many(40, "starter")
    await shared.ended([*starters, *await shared.submit_many(20, "quicker")])
    began, called = await begun(shared, starters), times(shared.effects_folder, "quick")
    assert (len(began), len(called), len(times(shared.effects_folder, "starter"))) == (40, 20, 40)
    assert busiest(began, 2.0) <= 10
    assert busiest(called, 1.0) <= 4


async def test_a_hundred_equal_calls_are_one(shared: Pipeline) -> None:
    runs = await shared.submit_many(100, "sharer", seconds=0.5)
    ended = await shared.ended(runs)
    assert len(lines(shared.effects_folder, "shared")) == 1
    assert len({one[0].result for one in ended.values()}) == 1
    hits = sum(1 for one in ended.values() if (one[0].usage or {}).get("recorded_hits"))
    assert hits == 99, [one[0].usage for one in ended.values()][:3]
    later = await shared.submit_many(3, "sharer", seconds=0.5)
    await shared.ended(later)
    assert len(lines(shared.effects_folder, "shared")) == 1


async def test_a_breaker_opens_everywhere_within_two_seconds(shared: Pipeline) -> None:
    while "open" not in [await state(worker) for worker in shared.workers]:
        await shared.ended(await shared.submit_many(1, "knocker"))
    await until(lambda: both(shared, "open"))
    first, second = (said_at(worker, "circuit breaker of flaky") for worker in shared.workers)
    assert apart(first, second) <= GOSSIP_S, "a word reaches every worker in that time"
    calls = len(lines(shared.effects_folder, "flaky"))
    assert calls <= 5
    runs = await shared.submit_many(10, "knocker")
    ended = await shared.ended(runs)
    assert all("BreakerOpenError" in str(one[0].error) for one in ended.values())
    assert len(lines(shared.effects_folder, "flaky")) == calls
    (shared.effects_folder / "up").touch()

    async def closed() -> bool:
        await shared.ended(await shared.submit_many(2, "knocker"))
        return [await state(worker) for worker in shared.workers] == ["closed", "closed"]

    await until(closed)


async def test_a_breaker_can_be_opened_and_closed_by_hand(shared: Pipeline) -> None:
    first, second = shared.workers
    (shared.effects_folder / "up").touch()
    said = await first.owner.post("/owner/breakers/flaky", json={"state": "open"})
    assert said.status_code == 200
    await until(lambda: both(shared, "open"))
    assert apart(said_at(first, "flaky is open"), said_at(second, "flaky: open")) <= GOSSIP_S
    assert (await second.owner.post("/owner/breakers/flaky", json={"state": "closed"})).status_code == 200
    await until(lambda: both(shared, "closed"))
    assert apart(said_at(first, "flaky: closed"), said_at(second, "flaky is closed")) <= GOSSIP_S
    assert (await first.owner.post("/owner/breakers/nobody", json={"state": "open"})).status_code == 404
    assert (await first.owner.post("/owner/breakers/flaky", json={"state": "ajar"})).status_code == 422


async def state(worker: Worker) -> str:
    """Return what a worker thinks of the breaker."""
    shown = (await worker.owner.get("/owner/breakers")).json()["breakers"]
    return next(str(one["state"]) for one in shown if one["tool"] == "flaky")


async def both(shared: Pipeline, wanted: str) -> bool:
    """Return whether both workers think so of the breaker."""
    return [await state(worker) for worker in shared.workers] == [wanted] * 2


def said_at(worker: Worker, text: str) -> float:
    """Return the second of the day at which a worker last said something, by its log."""
    line = next(line for line in reversed(worker.log.read_text("utf-8").splitlines()) if text in line)
    hours, minutes, seconds = line.split()[0].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def apart(one: float, other: float) -> float:
    """Return the seconds between two seconds of the day, of which midnight may lie between."""
    return min((one - other) % 86_400, (other - one) % 86_400)


async def test_places_of_a_tool_and_of_an_agent_hold_over_both_workers(shared: Pipeline) -> None:
    runs = await asyncio.gather(
        shared.submit_many(24, "squeezer", seconds=0.3), shared.submit_many(24, "few", seconds=0.3)
    )
    await shared.ended([*runs[0], *runs[1]])
    for name in ("narrow", "few"):
        assert len(times(shared.effects_folder, name, "end")) == 24
        assert together(shared.effects_folder, name) == 3, name
        assert len(processes(shared.effects_folder, name)) == 2, name


async def test_what_a_tool_calls_is_within_that_tools_limits_on_both_workers(shared: Pipeline) -> None:
    """A batch is no way around a rate or a cache, and each of its calls has a record."""
    runs = await shared.submit_many(4, "nester")
    assert {one[0].result for one in (await shared.ended(runs)).values()} == {6}
    at = times(shared.effects_folder, "deep")
    assert len(at) == 24
    assert busiest(at, 1.0) <= 4
    assert len(lines(shared.effects_folder, "deep-shared")) == 1
    made: list[str] = []

    async def recorded() -> bool:
        made[:] = [vars(one.event)["name"] for one in await shared.events(shared.names.calls) if one.event]
        return made.count("outer") >= 4

    await until(recorded)
    assert (made.count("deep"), made.count("deep_shared"), made.count("outer")) == (24, 1, 4)
