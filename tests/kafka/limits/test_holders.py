"""What a killed worker held is free as soon as its group knows, and priorities hold over all workers."""

from __future__ import annotations

from streams.clock import monotonic
from tests.faults.rig.pipeline import Pipeline, Worker
from tests.faults.rig.waiting import until
from tests.kafka.limits.lines import lines

SOON_S = 5.0  # after the takeover


def at_work(pair: Pipeline, name: str) -> Worker:
    """Return the worker that was the first to tell something."""
    pid = lines(pair.effects_folder, name)[0].split()[1]
    return next(one for one in pair.workers if str(one.process.pid) == pid)


async def taken_over(pair: Pipeline) -> float:
    """Wait until one worker owns all partitions; return when that was seen, in monotonic seconds."""

    async def all_owned() -> bool:
        alive = {one.process.pid for one in pair.workers if not one.ended}
        beats = [vars(one.event) for one in await pair.events(pair.names.workers) if one.event is not None]
        newest = {beat["pid"]: beat["partitions"] for beat in beats if beat["pid"] in alive}
        return sorted(number for owned in newest.values() for number in owned) == list(range(8))

    await until(all_owned)
    return monotonic()


async def test_runs_that_wait_for_a_killed_worker_go_on_at_once(pair: Pipeline) -> None:
    """The lease of a call that may take a minute would last for two; the home of the lease survives."""
    runs = await pair.submit_many(24, "slow_sharer", seconds=2.0)
    await until(lambda: bool(lines(pair.effects_folder, "slowly-shared")))
    at_work(pair, "slowly-shared").kill()
    begun = await taken_over(pair)
    await until(lambda: len(lines(pair.effects_folder, "slowly-shared")) >= 2)
    assert monotonic() - begun < SOON_S
    await pair.ended(runs)
    assert len(lines(pair.effects_folder, "slowly-shared")) == 2


async def test_a_permit_of_a_killed_worker_is_free_at_once(pair: Pipeline) -> None:
    runs = await pair.submit_many(8, "single", seconds=1.0)
    await until(lambda: bool(lines(pair.effects_folder, "single")))
    at_work(pair, "single").kill()
    begun = await taken_over(pair)
    before = len(lines(pair.effects_folder, "single"))
    await until(lambda: len(lines(pair.effects_folder, "single")) > before)
    assert monotonic() - begun < SOON_S
    await pair.ended(runs)


async def test_high_priority_is_next_on_whichever_worker_it_waits(pair: Pipeline) -> None:
    """Runs of both priorities are queued on both workers; one has begun before the others came."""
    task = pair.task(seconds=0.2)
    first = await pair.submit("single", pair.task(seconds=6.0), pair._id_for(0))
    await until(lambda: bool(lines(pair.effects_folder, "single")))
    low = [await pair.submit("single", task, pair._id_for(place), priority="low") for place in range(8)]
    high = [await pair.submit("single", task, pair._id_for(place), priority="high") for place in range(8)]
    await pair.ended([first, *low, *high])
    begun = [line.split()[2] for line in lines(pair.effects_folder, "single")]
    assert begun[0] == first
    assert set(begun[1:9]) == set(high), "no low one begins while a high one waits"
    assert set(begun[9:]) == set(low)
    assert len({line.split()[1] for line in lines(pair.effects_folder, "single")}) == 2


async def test_runs_that_wait_for_a_worker_that_leaves_go_on_at_once(pair: Pipeline) -> None:
    runs = await pair.submit_many(16, "slow_sharer", seconds=10.0)
    await until(lambda: bool(lines(pair.effects_folder, "slowly-shared")))
    assert await at_work(pair, "slowly-shared").stop() == 0
    begun = await taken_over(pair)
    await until(lambda: len(lines(pair.effects_folder, "slowly-shared")) >= 2)
    assert monotonic() - begun < SOON_S
    await pair.ended(runs)
