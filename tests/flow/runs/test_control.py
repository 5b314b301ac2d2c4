"""Cancelling runs that are under way, and what an agent's function must not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streams import Cancelled, Run, agent, chain, minutes, tool
from streams.testing import Harness, run_agent
from tests.flow.runs.world import ONCE, Cleaned, World

both = pytest.mark.parametrize("evict", [False, True])


@both
def test_cancel_reaches_children_and_runs_the_clean_up(evict: bool) -> None:
    @agent
    async def worker(run: Run) -> str:
        try:
            await run.sleep(minutes(60))
        finally:
            await run.emit(Cleaned(run=run.id))
        return "done"

    @agent
    async def boss(run: Run) -> list[str]:
        try:
            return await run.gather(run.call(worker), run.call(worker))
        except Cancelled:
            await run.step(lambda: "bye", name="tell")
            raise

    harness = Harness(boss, worker, evict=evict)
    run_id = harness.submit(boss)
    harness.settle()
    harness.cancel(run_id, "changed my mind", id="c1")
    harness.cancel(run_id, "changed my mind", id="c1")
    harness.settle()
    assert harness.status(run_id) == "cancelled"
    assert [call.name for call in harness.calls] == ["tell"]
    children = harness.outcome(run_id).view["children"]
    assert [harness.status(child) for child in children] == ["cancelled", "cancelled"]
    assert {event.run for event in harness.records("events")} == set(children)  # type: ignore[attr-defined]
    endings = [event for event in harness.records("runs") if event.event_type == "run.cancelled"]
    assert len(endings) == 3
    assert "changed my mind" in {event.reason for event in endings}  # type: ignore[attr-defined]


def test_an_except_exception_does_not_swallow_a_cancel() -> None:
    @agent
    async def stubborn(run: Run) -> str:
        try:
            await run.sleep(60)
        except Exception:  # noqa: BLE001
            return "swallowed"
        return "slept"

    harness = Harness(stubborn)
    run_id = harness.submit(stubborn)
    harness.settle()
    harness.cancel(run_id)
    harness.settle()
    assert harness.status(run_id) == "cancelled"


def test_a_second_cancel_does_not_wait_for_the_clean_up() -> None:
    @agent
    async def slow(run: Run) -> None:
        try:
            await run.sleep(60)
        finally:
            await run.sleep(minutes(60))

    harness = Harness(slow)
    run_id = harness.submit(slow)
    harness.settle()
    harness.cancel(run_id)
    harness.settle()
    assert harness.status(run_id) == "waiting"
    harness.cancel(run_id)
    harness.settle()
    assert harness.status(run_id) == "cancelled"


def test_of_cancel_and_end_the_earlier_wins() -> None:
    @agent
    async def quick(run: Run) -> str:
        return "done"

    harness = Harness(quick)
    run_id = harness.submit(quick)
    harness.settle()
    harness.cancel(run_id)
    harness.settle()
    assert harness.outcome(run_id).value() == "done"


def test_an_await_on_the_outside_is_an_error_with_its_line() -> None:
    import asyncio

    @agent
    async def wrong(run: Run) -> None:
        await asyncio.sleep(0)

    ended = run_agent(wrong)
    assert ended.error["type"] == "ForeignAwait"
    assert "test_control.py" in ended.error["message"]


def test_an_operation_that_is_not_awaited_fails_the_run_with_its_line() -> None:
    @agent
    async def forgetful(run: Run) -> str:
        run.emit(Cleaned(run=run.id))
        return "done"

    ended = run_agent(forgetful)
    assert ended.status == "failed"
    assert "test_control.py:" in ended.error["message"]
    assert "and never awaits it" in ended.error["message"]
    assert "write `await run.emit(…)`" in ended.error["message"]


def test_an_operation_that_is_returned_is_not_awaited_either() -> None:
    @agent
    async def forgetful(run: Run) -> Any:
        return run.step(int)

    ended = run_agent(forgetful)
    assert ended.status == "failed"
    assert "write `return await run.step(…)`" in ended.error["message"]


def test_a_client_that_needs_an_event_loop_is_named_with_its_line_and_what_to_use() -> None:
    import asyncio

    import httpx

    async def fetch() -> None:
        async with httpx.AsyncClient() as client:
            await client.get("http://127.0.0.1:9/")

    async def limit() -> None:
        async with asyncio.timeout(5):
            await asyncio.sleep(1)

    for way in (fetch, limit):

        @agent
        async def wrong(run: Run) -> None:
            await way()  # noqa: B023 - it is called in this turn of the loop

        error = run_agent(wrong).error
        assert error["type"] == "ForeignAwait", error
        assert "test_control.py:" in error["message"]
        assert "run.step() or a @tool" in error["message"]


def test_what_run_step_and_run_start_cannot_take_is_said_with_what_to_write() -> None:
    @tool
    async def look(url: str) -> str:
        """Look."""
        return url

    async def work() -> None:
        return

    @agent
    async def other(run: Run) -> None:
        """Do nothing."""

    ways: list[tuple[Callable[[Run], Any], str]] = [
        (lambda run: run.step(look, url="x"), "write run.tool(look, …)"),
        (lambda run: run.step(other), "write run.call(other, …)"),
        (lambda run: run.step(work()), "write run.step(work, …)"),  # type: ignore[call-overload]
        (lambda run: run.step(7), "not int"),  # type: ignore[call-overload]
        (lambda run: run.start(chain(other, other)), "write `await run.call(…)`"),
    ]
    for way, said in ways:

        @agent
        async def wrong(run: Run) -> None:
            await way(run)  # noqa: B023 - it is called in this turn of the loop

        error = run_agent(wrong).error
        assert error["type"] == "DefinitionError", error
        assert said in error["message"]


def test_a_run_operation_inside_a_step_is_refused() -> None:
    @agent
    async def wrong(run: Run) -> None:
        async def inner() -> None:
            await run.emit(Cleaned(run=run.id))

        await run.step(inner, retry=ONCE)

    assert "outside of the agent's function" in run_agent(wrong).error["message"]


def test_the_result_must_be_what_the_agent_declares() -> None:
    @agent
    async def wrong(run: Run) -> int:
        return "many"  # type: ignore[return-value]

    assert run_agent(wrong).error["type"] == "ValidationError"


def test_the_idempotency_key_is_there_inside_a_step_and_stable(world: World) -> None:
    keys: list[str] = []

    @agent
    async def job(run: Run) -> None:
        def effect() -> None:
            keys.append(run.idempotency_key)
            if len(keys) < 3:
                raise OSError("again")

        await run.step(effect)

    assert run_agent(job).status == "succeeded"
    assert len(set(keys)) == 1
