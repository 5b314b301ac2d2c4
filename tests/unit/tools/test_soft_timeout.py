"""Attempts that run out of time: told first, cancelled after the grace, and never kept from a real cancellation."""

from __future__ import annotations

import asyncio

import pytest

from streams import SoftTimeout, tool
from streams.tools import _soft_timeout
from streams.tools._call import call_tool
from streams.tools._soft_timeout import GRACE_S, hard_limit, out_of_time, softly
from streams.tools.errors import ToolError, ToolTimeoutError

SOON = 0.01


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_function_that_is_told_may_save_and_return() -> None:
    saved: list[str] = []

    async def work() -> str:
        try:
            await forever()
        except SoftTimeout as told:
            await asyncio.sleep(0)
            saved.append(str(told))
        return "half"

    assert await softly(work(), SOON, "work") == "half"
    assert saved == ["work took longer than 0.01 s: save and clean up"]
    mine = asyncio.current_task()
    assert mine is not None
    assert mine.cancelling() == 0, "who goes on must not look cancelled: a later time-out of its own would be lost"


async def test_a_function_that_lets_it_pass_has_timed_out() -> None:
    with pytest.raises(TimeoutError, match=r"longer than its 0\.01 s") as raised:
        await softly(forever(), SOON, "work")
    assert out_of_time(raised.value)
    assert not out_of_time(TimeoutError("of its own"))


async def test_what_it_raises_itself_is_its_own() -> None:
    async def work() -> None:
        try:
            await forever()
        finally:
            raise LookupError("while it cleaned up")

    with pytest.raises(LookupError):
        await softly(work(), SOON, "work")


async def test_it_is_told_once_and_its_own_time_outs_and_groups_still_work() -> None:
    times = 0

    async def work() -> str:
        nonlocal times
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(forever())
                group.create_task(forever())
        except* SoftTimeout:
            times += 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON):
                await forever()
        return "done"

    assert await softly(work(), SOON, "work") == "done"
    assert times == 1


async def test_a_group_that_lets_it_pass_has_timed_out() -> None:
    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(forever())

    with pytest.raises(TimeoutError) as raised:
        await softly(work(), SOON, "work")
    assert out_of_time(raised.value)


async def test_what_cannot_be_interrupted_hears_of_it_when_it_goes_on() -> None:
    gate = asyncio.Event()

    async def stubborn() -> str:
        while True:
            try:
                await gate.wait()
                return "let go"
            except asyncio.CancelledError:
                gate.set()

    async def work() -> str:
        try:
            return await asyncio.ensure_future(stubborn())
        except SoftTimeout:
            return "told"

    assert await softly(work(), SOON, "work") == "told"


async def test_a_real_cancellation_is_a_cancellation() -> None:
    """Also in the moment in which it is told: neither is swallowed."""
    for seconds in (0.0, 1000.0):
        task = asyncio.create_task(softly(forever(), seconds, "work"))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(task.cancel)
        with pytest.raises((asyncio.CancelledError, TimeoutError)) as raised:
            await task
        assert seconds == 0.0 or isinstance(raised.value, asyncio.CancelledError)


async def test_both_at_once_is_a_cancellation() -> None:
    softened = _soft_timeout._Softened(forever(), SoftTimeout())

    async def work() -> None:
        await softened

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    softened.interrupt()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_is_not_told_while_it_is_being_cancelled() -> None:
    seen: list[str] = []
    softened = _soft_timeout._Softened(_cleaning(seen), SoftTimeout())

    async def work() -> None:
        await softened

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    softened.interrupt()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled", "cleaned up"]


async def _cleaning(seen: list[str]) -> None:
    try:
        await forever()
    except asyncio.CancelledError:
        seen.append("cancelled")
        await asyncio.sleep(0)
        seen.append("cleaned up")
        raise


def test_only_async_functions_have_a_grace() -> None:
    assert hard_limit(forever, 5) == 5 + GRACE_S
    assert hard_limit(len, 5) == 5
    assert hard_limit(forever, None) is None


@tool(timeout=SOON)
async def saving() -> str:
    """Give what there is when time is over."""
    try:
        await forever()
    except SoftTimeout:
        return "partial"
    return "all"


@tool(timeout=SOON)
async def deaf() -> str:
    """Never listen."""
    while True:
        try:
            await forever()
        except SoftTimeout:
            continue


async def test_a_tool_is_told_and_may_answer() -> None:
    assert await call_tool(saving, {}) == "partial"


async def test_a_tool_that_does_not_listen_is_cancelled_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_soft_timeout, "GRACE_S", SOON)
    with pytest.raises(ToolTimeoutError, match=r"longer than its 0\.01 s") as raised:
        await call_tool(deaf, {})
    assert isinstance(raised.value, ToolError)
