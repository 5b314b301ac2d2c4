"""Limits over two real workers: exact under load, and used."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.rig.pipeline import Pipeline, Worker
from tests.faults.rig.waiting import until
from tests.kafka.limits.lines import busiest, lines, processes, times, together

pytestmark = pytest.mark.asyncio(loop_scope="module")
LIMIT, PER_S = 30, 10.0


def used(at: list[float]) -> float:
    """Return how much of the limit was used from the first to the last call, the last window's calls being a start."""
    return (len(at) - LIMIT) / ((at[-1] - at[0]) / PER_S * LIMIT)


async def test_a_rate_holds_over_both_workers_and_is_used(shared: Pipeline) -> None:
    runs = await shared.submit_many(120, "pacer")
    await shared.ended(runs, 90)
    at = times(shared.effects_folder, "paced")
    assert len(at) == 120
    assert len(processes(shared.effects_folder, "paced")) == 2
    assert busiest(at, PER_S) <= LIMIT
    assert used(at) >= 0.9, f"{used(at):.3f}"


async def test_a_rate_of_agents_and_an_unrecorded_one_hold(shared: Pipeline) -> None:
    runs = [*await shared.submit_many(40, "starter"), *await shared.submit_many(20, "quicker")]
    await shared.ended(runs, 60)
    began, called = times(shared.effects_folder, "starter"), times(shared.effects_folder, "quick")
    assert (len(began), len(called)) == (40, 20)
    assert busiest(began, 2.0) <= 10
    assert busiest(called, 1.0) <= 4


async def test_a_hundred_equal_calls_are_one(shared: Pipeline) -> None:
    runs = await shared.submit_many(100, "sharer", seconds=0.5)
    ended = await shared.ended(runs, 60)
    assert len(lines(shared.effects_folder, "shared")) == 1
    assert len({one[0].result for one in ended.values()}) == 1
    hits = sum(1 for one in ended.values() if (one[0].usage or {}).get("recorded_hits"))
    assert hits == 99, [one[0].usage for one in ended.values()][:3]
    later = await shared.submit_many(3, "sharer", seconds=0.5)
    await shared.ended(later)
    assert len(lines(shared.effects_folder, "shared")) == 1


async def test_a_breaker_opens_everywhere_within_two_seconds(shared: Pipeline) -> None:
    runs = await shared.submit_many(1, "knocker")
    for _ in range(40):
        if all([await state(worker) == "open" for worker in shared.workers]):
            break
        runs = await shared.submit_many(1, "knocker")
        await shared.ended(runs)
    assert [await state(worker) for worker in shared.workers] == ["open", "open"]
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

    await until(closed, 20)


async def test_a_breaker_can_be_opened_and_closed_by_hand(shared: Pipeline) -> None:
    first, second = shared.workers
    (shared.effects_folder / "up").touch()
    said = await first.owner.post("/owner/breakers/flaky", json={"state": "open"})
    assert said.status_code == 200

    async def both(wanted: str) -> bool:
        return await state(first) == await state(second) == wanted

    await until(lambda: both("open"), 2)
    assert (await second.owner.post("/owner/breakers/flaky", json={"state": "closed"})).status_code == 200
    await until(lambda: both("closed"), 2)
    assert (await first.owner.post("/owner/breakers/nobody", json={"state": "open"})).status_code == 404
    assert (await first.owner.post("/owner/breakers/flaky", json={"state": "ajar"})).status_code == 422


async def state(worker: Worker) -> str:
    """Return what a worker thinks of the breaker."""
    shown = (await worker.owner.get("/owner/breakers")).json()["breakers"]
    return next(str(one["state"]) for one in shown if one["tool"] == "flaky")


async def test_places_of_a_tool_and_of_an_agent_hold_over_both_workers(shared: Pipeline) -> None:
    runs = await asyncio.gather(
        shared.submit_many(24, "squeezer", seconds=0.1), shared.submit_many(24, "few", seconds=0.1)
    )
    await shared.ended([*runs[0], *runs[1]], 60)
    for name in ("narrow", "few"):
        assert len(times(shared.effects_folder, name, "end")) == 24
        assert together(shared.effects_folder, name) == 3, name
        assert len(processes(shared.effects_folder, name)) == 2, name


async def test_what_a_tool_calls_is_within_that_tools_limits_on_both_workers(shared: Pipeline) -> None:
    """A batch is no way around a rate or a cache, and each of its calls has a record."""
    runs = await shared.submit_many(4, "nester")
    assert {one[0].result for one in (await shared.ended(runs, 60)).values()} == {6}
    at = times(shared.effects_folder, "deep")
    assert len(at) == 24
    assert busiest(at, 1.0) <= 4
    assert len(lines(shared.effects_folder, "deep-shared")) == 1
    made = [vars(one.event)["name"] for one in await shared.events(shared.names.calls) if one.event]
    assert (made.count("deep"), made.count("deep_shared"), made.count("outer")) == (24, 1, 4)
