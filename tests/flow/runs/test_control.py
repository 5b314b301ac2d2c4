"""Cancelling runs that are under way, and what an agent's function must not do."""

from __future__ import annotations

import pytest

from streams import Cancelled, Run, agent, minutes
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


def test_an_operation_that_is_not_awaited_is_warned_about() -> None:
    @agent
    async def forgetful(run: Run) -> str:
        run.emit(Cleaned(run=run.id))
        return "done"

    with pytest.warns(RuntimeWarning, match="run.emit was made but never awaited"):
        run_agent(forgetful)


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
