"""A schedule whose owner is killed: each slot once by its id, none missing, and its run once, too."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx

from schemas.schedule import ScheduleState
from streams.engine.ids import slot_id
from streams.worker.schedules.schedule_state import state_key
from tests.faults.rig.pipeline import Worker
from tests.faults.rig.waiting import until
from tests.kafka.schedules.conftest import Clock

NAME, RUNS, FLEETING = "every_second", "run_every_second", "fleeting"
SECOND = 1000


async def ticks(clock: Clock, name: str = NAME) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for arrived in await clock.events(clock.names.ticks):
        event: Any = arrived.event
        if event.schedule == name:
            found.append((arrived.attributes.id, event.slot_ms))
    return found


async def owns(worker: Worker, name: str = NAME) -> bool:
    try:
        answer = await worker.owner.get("/owner/schedules")
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and any(row["name"] == name for row in answer.json()["schedules"])


async def owner(workers: list[Worker]) -> Worker:
    found: list[Worker] = []

    async def some() -> bool:
        found[:] = [worker for worker in workers if await owns(worker)]
        return bool(found)

    await until(some, what=lambda: [worker.words()[-800:] for worker in workers])
    return found[0]


async def grown(clock: Clock, by: int) -> None:
    """Wait until both schedules went on: they may have different owners, of which one takes over later."""
    counts = {name: len(await ticks(clock, name)) + by for name in (NAME, RUNS)}

    async def reached() -> bool:
        return all([len(await ticks(clock, name)) >= count for name, count in counts.items()])

    await until(reached, what=lambda: [worker.words()[-800:] for worker in clock.workers])


async def test_every_second_while_its_owner_is_killed_twice(clock: Clock) -> None:
    first, second = await asyncio.gather(clock.running("a"), clock.running("b"))
    alive = [first, second]
    await grown(clock, 5)
    for slot in ("c", "d"):
        mine = await owner(alive)
        mine.kill()
        alive.remove(mine)
        alive.append(clock.start(slot))
        await grown(clock, 8)
    await grown(clock, 3)

    for name in (NAME, RUNS):
        await complete(clock, name)
    due = await ticks(clock)  # before the events are read: the schedule goes on
    said = Counter(one.attributes.id for one in await clock.events(clock.names.events))
    assert {said[f"{id}/{NAME}/0"] for id, _ in due} == {1}
    await accounted_for(clock, alive)
    runs = await clock.ended([id for id, _ in await ticks(clock, RUNS)])
    assert {len(endings) for endings in runs.values()} == {1}


async def accounted_for(clock: Clock, workers: list[Worker]) -> None:
    """Check that each slot of a schedule with little patience fired, or is counted as missed."""
    last = ""

    async def adds_up() -> bool:
        nonlocal last
        for worker in workers:
            if await owns(worker, FLEETING):
                answer = await worker.owner.get("/owner/schedules")
                rows = [row for row in answer.json().get("schedules", []) if row["name"] == FLEETING]
                slots = [slot for _, slot in await ticks(clock, FLEETING)]
                assert len(slots) == len(set(slots))
                seen_ms = await first_seen_ms(clock, FLEETING)  # slots from then on count, also those before the first
                span = (max(slots) - seen_ms - 1) // SECOND + 1
                last = f"{len(slots)} fired of {span}; {rows}"
                return bool(rows) and len(slots) + int(rows[0]["missed"]) == span
        return False

    await until(adds_up, what=lambda: last)


async def first_seen_ms(clock: Clock, name: str) -> int:
    """Return from when on a schedule's slots count: the place at which its first row on the log begins."""
    records = await clock.log(clock.names.journal("default")).all()
    first = next(value for one in records if one.key() == state_key(name) and (value := one.value()) is not None)
    return int(clock.codec.decode(first, ScheduleState).cursor_ms)


async def complete(clock: Clock, name: str) -> None:
    """Check that each second from the first tick to the last has one tick under its own id."""
    found = await ticks(clock, name)
    slots = sorted(slot for _, slot in found)
    assert [id for id, slot in found if id != slot_id(name, slot)] == []
    assert [slot for slot, count in Counter(slots).items() if count > 1] == [], "fired twice"
    assert sorted(set(range(slots[0], slots[-1] + 1, SECOND)) - set(slots)) == [], "missing"
    assert len(slots) >= 24
