"""Schedules through a real worker: overlap of runs, orders, backfills, and a function that fails."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

import pytest

from schemas.dead import RedriveRequested
from schemas.schedule import ScheduleCommanded
from streams import clock as wall
from streams.engine.ids import slot_id
from tests.faults.rig.pipeline import Worker
from tests.faults.rig.waiting import until
from tests.kafka.schedules.conftest import Clock

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = 24 * 3_600_000


@pytest.fixture
def worker(shared: Clock) -> Worker:
    """Return the shared pipeline's worker."""
    return shared.workers[0]


async def row(worker: Worker, name: str) -> dict[str, Any]:
    answer = await worker.owner.get("/owner/schedules")
    found: list[dict[str, Any]] = answer.json()["schedules"] if answer.status_code == 200 else []
    return next((one for one in found if one["name"] == name), {})


async def order(shared: Clock, name: str, command: str, **more: Any) -> str:
    request_id = more.pop("request_id", uuid.uuid4().hex)
    event = ScheduleCommanded(schedule=name, command=command, request_id=request_id, **more)
    await shared.producer.send(shared.names.signals, event, headers={"pool": "default"})
    return str(request_id)


async def ticks(shared: Clock, name: str) -> list[Any]:
    events = await shared.events(shared.names.ticks)
    return [one for one in events if one.event is not None and vars(one.event)["schedule"] == name]


async def runs(shared: Clock, *schedules: str) -> dict[str, list[str]]:
    """Return how the runs ended, in order of slots, by schedule."""
    slots = {name: await ticks(shared, name) for name in schedules}
    endings = await shared.endings()  # after the ticks: what they wait for has ended before them
    found: dict[str, list[str]] = {}
    for name in schedules:
        ids = [one.attributes.id for one in slots[name]]
        found[name] = [endings[id][0].event_type if id in endings else "" for id in ids]
    return found


async def reaches(worker: Worker, name: str, **least: int) -> dict[str, Any]:
    """Wait until the schedule's counts are at least so high."""
    found: dict[str, Any] = {}

    async def reached() -> bool:
        found.update(await row(worker, name))
        return bool(found) and all(found[field] >= count for field, count in least.items())

    await until(reached, what=lambda: f"{name}: {found} {worker.words()}")
    return found


async def given_up(shared: Clock, name: str) -> Any:
    """Return the first dead letter of a schedule: its owner counts a failure before it is on the log."""
    found: list[Any] = []

    async def there() -> bool:
        found[:] = [letter for letter in await shared.letters() if letter.consumer == name]
        return bool(found)

    await until(there)
    return found[0]


async def test_skip_leaves_out_slots_while_the_run_goes_on(shared: Clock, worker: Worker) -> None:
    """Runs of 3.2 s at one slot a second: of four slots one fires, or of less where the worker looks late at one."""
    found = await reaches(worker, "skips", fired=3)
    assert found["skipped"] >= 2 * (found["fired"] - 1)
    fired = await ticks(shared, "skips")
    ended = await shared.ended_ms(one.attributes.id for one in fired)
    for before, after in itertools.pairwise(fired):
        assert after.attributes.time >= ended[before.attributes.id], "no run began before the one of the slot before"
    slots = [vars(one.event)["slot_ms"] for one in fired]
    span = (slots[-1] - slots[0]) // 1000 + 1
    now = await row(worker, "skips")
    assert now["skipped"] + now["missed"] >= span - len(slots), "each slot that did not fire is counted"


async def test_buffer_one_fires_one_slot_late_as_soon_as_the_run_has_ended(shared: Clock, worker: Worker) -> None:
    found = await reaches(worker, "buffers", fired=3)
    late = [one.attributes.time - vars(one.event)["slot_ms"] for one in await ticks(shared, "buffers")]
    assert len([lag for lag in late if lag > 1000]) >= len(late) - 1
    assert found["waiting"] <= 2


async def test_cancel_other_ends_the_run_of_the_slot_before(shared: Clock, worker: Worker) -> None:
    await reaches(worker, "cancels", fired=4)
    found = (await runs(shared, "cancels"))["cancels"]
    assert set(found[:-1]) == {"run.cancelled"}
    assert len((await row(worker, "cancels"))["running"]) <= 1


async def test_a_slow_function_holds_neither_its_slots_nor_others(shared: Clock, worker: Worker) -> None:
    """Three functions of 2.5 s overlap where that is allowed, and no slot is left out."""
    await reaches(worker, "slow_function", fired=6)
    slots = [vars(one.event)["slot_ms"] for one in await ticks(shared, "slow_function")]
    assert slots == list(range(slots[0], slots[-1] + 1, 1000))


async def test_a_function_that_fails_is_tried_again_and_then_a_dead_letter_with_its_tick(
    shared: Clock, worker: Worker
) -> None:
    await reaches(worker, "broken", failed=1)
    first = await given_up(shared, "broken")
    assert (first.error, first.error_type, first.attempts) == ("this schedule has a defect", "ValueError", 3)
    assert first.source_topic == shared.names.ticks
    ticked = {f"{one.attributes.id}/failed/3": one.event.data for one in await ticks(shared, "broken")}
    assert ticked[first.dead_id] == {"failed": "this schedule has a defect"}


async def test_a_redriven_slot_runs_its_function_again_and_has_no_second_tick(shared: Clock, worker: Worker) -> None:
    await reaches(worker, "broken", failed=1)
    letter = await given_up(shared, "broken")
    names = ("dead_id", "consumer", "source_topic", "source_partition", "source_offset", "key", "value", "headers")
    asked = RedriveRequested(attempt=1, **{name: getattr(letter, name) for name in names})
    headers = {"pool": "default"}
    for _ in range(2):  # the same order again does nothing
        await shared.producer.send(shared.names.signals, asked, key="broken", headers=headers)

    async def given_up_again() -> bool:
        return any(one.dead_id == f"{letter.dead_id}/again" for one in await shared.letters())

    await until(given_up_again, what=worker.words)
    id = letter.dead_id.partition("/")[0]
    assert [one.attributes.id for one in await ticks(shared, "broken")].count(id) == 1
    assert len([one for one in await shared.letters() if one.dead_id.startswith(id)]) == 2


async def test_paused_it_fires_nothing_and_resumed_only_what_comes_then(shared: Clock, worker: Worker) -> None:
    await reaches(worker, "every_second", fired=2)
    await order(shared, "every_second", "pause")

    async def paused() -> bool:
        return bool((await row(worker, "every_second")).get("paused"))

    await until(paused, what=worker.words)
    paused_ms = wall.now_ms()  # a slot of before may still be told: its function was under way
    before = await row(worker, "every_second")
    assert before["next_slot"] is None
    await reaches(worker, "slow_function", fired=(await row(worker, "slow_function"))["fired"] + 3)
    resumed_ms = wall.now_ms()
    await order(shared, "every_second", "resume")

    async def slots() -> list[int]:
        return [vars(one.event)["slot_ms"] for one in await ticks(shared, "every_second")]

    async def goes_on() -> bool:
        return sum(slot >= resumed_ms for slot in await slots()) >= 3

    await until(goes_on, what=worker.words)
    assert [slot for slot in await slots() if paused_ms < slot < resumed_ms - 1000] == []
    assert (await row(worker, "every_second"))["missed"] == before["missed"]


async def test_a_trigger_fires_once_for_each_request(shared: Clock, worker: Worker) -> None:
    async def triggered() -> list[Any]:
        return [one for one in await ticks(shared, "daily") if (one.event.data or {}).get("cause") == "trigger"]

    count = len(await triggered())
    request_id = await order(shared, "daily", "trigger", slot_from_ms=123_000)
    await order(shared, "daily", "trigger", slot_from_ms=123_000, request_id=request_id)
    await order(shared, "daily", "trigger", slot_from_ms=123_000)

    async def both() -> bool:
        return len(await triggered()) >= count + 2

    await until(both, what=worker.words)
    fired = (await triggered())[count:]
    assert len(fired) == 2
    assert len({one.attributes.id for one in fired}) == 2
    assert all(one.attributes.id.startswith(slot_id("daily", 123_000) + "~") for one in fired)


async def test_a_backfill_keeps_slot_ids_and_repeats_only_when_forced(shared: Clock, worker: Worker) -> None:
    start = wall.now_ms() // DAY * DAY - 20 * DAY
    span = {"slot_from_ms": start, "slot_to_ms": start + 12 * DAY}
    wanted = [slot_id("daily", start + day * DAY) for day in range(12)]

    async def filled() -> list[str]:
        every = await ticks(shared, "daily")  # at midnight also the day's own, which has no cause
        ids = [one.attributes.id for one in every if (one.event.data or {}).get("cause") == "backfill"]
        return [id for id in ids if id.partition("~")[0] in wanted]

    async def count(number: int) -> None:
        async def reached() -> bool:
            return len(await filled()) >= number and not (await row(worker, "daily"))["backfills"]

        await until(reached, what=worker.words)
        assert len(await filled()) == number

    await order(shared, "daily", "backfill", **span)
    await count(12)
    assert sorted(await filled()) == sorted(wanted), "each once; five functions run side by side and end as they like"
    await order(shared, "daily", "backfill", slot_from_ms=start - 2 * DAY, slot_to_ms=start + 3 * DAY)
    await order(shared, "daily", "backfill", **span, force=True)
    await count(24)
    assert len(set(await filled())) == 24


async def test_an_order_that_makes_no_sense_is_a_dead_letter(shared: Clock, worker: Worker) -> None:
    await order(shared, "nothing_such", "pause")  # kept: a worker of other code may have that schedule
    await order(shared, "daily", "dance")

    async def told() -> bool:
        return any("dance" in letter.error for letter in await shared.letters() if letter.consumer == "signals")

    await until(told, what=worker.words)
    assert not [letter for letter in await shared.letters() if "nothing_such" in letter.error]
