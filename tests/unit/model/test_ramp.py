"""A burst is spread over turns of the loop, in order."""

from __future__ import annotations

import asyncio

from streams.model.ramp import Ramp


async def test_only_a_few_start_in_each_turn_and_in_order() -> None:
    ramp, started = Ramp(starts_per_turn=2), list[int]()

    async def start(number: int) -> None:
        await ramp.turn()
        started.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(7):
            group.create_task(start(number))
        counts = []
        while len(started) < 7:
            before = len(started)
            await asyncio.sleep(0)
            counts.append(len(started) - before)
    assert started == list(range(7))
    assert max(counts) == 2


async def test_a_cancelled_caller_does_not_hold_up_the_others() -> None:
    ramp = Ramp(starts_per_turn=1)
    first, second = asyncio.ensure_future(ramp.turn()), asyncio.ensure_future(ramp.turn())
    await asyncio.sleep(0)
    first.cancel()
    await second
