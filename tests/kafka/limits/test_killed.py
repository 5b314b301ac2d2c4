"""Limits over two real workers of which one dies or leaves."""

from __future__ import annotations

import pytest

from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import until
from tests.kafka.limits.lines import busiest, lines, times

LIMIT, PER_S = 20, 5.0


@pytest.mark.parametrize("home", [True, False], ids=["home", "other"])
async def test_a_rate_holds_while_a_worker_is_killed(pair: Pipeline, home: bool) -> None:
    runs = await pair.submit_many(80, "brisker")

    def begun() -> bool:
        return len(times(pair.effects_folder, "brisk")) >= 30

    await until(begun)
    place = pair.partition("tool:brisk")
    beats = [one.event for one in await pair.events(pair.names.workers)]
    owner = next(beat for beat in reversed(beats) if beat is not None and place in vars(beat)["partitions"])
    victim = next(one for one in pair.workers if (one.process.pid == vars(owner)["pid"]) is home)
    victim.kill()
    await pair.ended(runs)
    at = times(pair.effects_folder, "brisk")
    assert len(at) >= 80
    assert busiest(at, PER_S) <= LIMIT


async def test_a_worker_that_dies_computing_costs_one_more_call(pair: Pipeline) -> None:
    runs = await pair.submit_many(40, "sharer", seconds=4.0)
    await until(lambda: bool(lines(pair.effects_folder, "shared")))
    pid = lines(pair.effects_folder, "shared")[0].split()[1]
    next(one for one in pair.workers if str(one.process.pid) == pid).kill()
    await pair.ended(runs)
    assert len(lines(pair.effects_folder, "shared")) == 2, lines(pair.effects_folder, "shared")


async def test_places_of_a_killed_worker_come_back(pair: Pipeline) -> None:
    runs = await pair.submit_many(12, "squeezer", seconds=1.0)
    await until(lambda: len(lines(pair.effects_folder, "narrow")) >= 4)
    pair.workers[0].kill()
    await pair.ended(runs)

    async def all_given_back() -> bool:
        metrics = (await pair.workers[1].owner.get("/metrics")).text
        return 'streams_limit_places_held{limit="tool:narrow"} 0.0' in metrics

    await until(all_given_back, what=pair.workers[1].words)


async def test_a_worker_that_leaves_while_calls_wait_leaves_in_peace(pair: Pipeline) -> None:
    runs = [
        *await pair.submit_many(45, "brisker"),
        *await pair.submit_many(10, "squeezer", seconds=0.5),
        *await pair.submit_many(5, "sharer", seconds=2.0),
    ]
    await until(lambda: len(lines(pair.effects_folder, "brisk")) >= 20)
    assert await pair.workers[0].stop() == 0, pair.workers[0].words()
    await pair.ended(runs)
    assert busiest(times(pair.effects_folder, "brisk"), PER_S) <= LIMIT
