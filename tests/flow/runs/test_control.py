"""Cancel, resume, fork, versions and patches: what people do to runs that are under way."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import Event
from streams import Cancelled, RetryPolicy, Run, StepFailed, agent, minutes
from streams.engine.machine import Machine
from streams.testing import Harness, run_agent

ONCE = RetryPolicy(attempts=1)


class Cleaned(Event, type="test.cleaned", key="run"):
    run: str


class World:
    """What steps did, in order, and whether it is up."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.down = True

    def do(self, what: str) -> str:
        self.done.append(what)
        return what

    def fragile(self, what: str) -> str:
        if self.down:
            raise ConnectionError(f"{what} is down")
        return self.do(what)


@pytest.fixture
def world() -> World:
    return World()


both = pytest.mark.parametrize("evict", [False, True])


# cancel


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


# resume


@both
def test_a_failed_run_goes_on_from_the_failed_step_and_only_that_one_runs_again(world: World, evict: bool) -> None:
    @agent
    async def job(run: Run) -> list[str]:
        one = await run.step(world.do, "one")
        both = await run.gather(run.step(world.do, "left"), run.step(world.fragile, "right", retry=ONCE))
        return [one, *both]

    harness = Harness(job, evict=evict)
    run_id = harness.submit(job)
    harness.run()
    assert harness.outcome(run_id).error["path"] == "2.1.1"
    harness.resume(run_id, ending=2)
    harness.settle()
    assert harness.status(run_id) == "failed", "that is not the ending it had"
    world.down = False
    harness.resume(run_id, ending=1)
    harness.resume(run_id, ending=1)
    harness.run()
    assert harness.outcome(run_id).value() == ["one", "left", "right"]
    assert world.done == ["one", "left", "right"]
    assert [event.event_type for event in harness.records("runs")] == ["run.started", "run.failed", "run.succeeded"]
    assert len(harness.records("dead-letters")) == 1


@both
def test_what_ran_after_the_failure_does_not_stand_in_the_way(world: World, evict: bool) -> None:
    @agent
    async def job(run: Run) -> str:
        try:
            await run.step(world.fragile, "work", retry=ONCE)
        except StepFailed:
            await run.step(world.do, "clean up")
            raise
        await run.step(world.do, "publish")
        return await run.step(world.fragile, "last", retry=ONCE)

    harness = Harness(job, evict=evict)
    run_id = harness.submit(job)
    harness.run()
    world.down = False
    harness.resume(run_id)
    harness.settle()
    assert harness.outcome(run_id).value() == "last"
    assert world.done == ["clean up", "work", "publish", "last"]
    harness.crash()
    assert harness.outcome(run_id).value() == "last"


@both
def test_work_recorded_after_the_failure_in_another_branch_is_kept(world: World, evict: bool) -> None:
    async def left(run: Run) -> str:
        return await run.step(world.fragile, "left", retry=ONCE)

    async def right(run: Run) -> str:
        await run.sleep(10)
        first = await run.step(world.do, "first")
        return first + await run.step(world.do, "second")

    @agent
    async def job(run: Run) -> list[str]:
        found = await run.gather(left(run), right(run), return_exceptions=True)
        for one in found:
            if isinstance(one, Exception):
                raise one
        return [str(one) for one in found]

    harness = Harness(job, evict=evict)
    run_id = harness.submit(job)
    harness.run()
    assert harness.status(run_id) == "failed"
    world.down = False
    harness.resume(run_id)
    harness.run()
    assert harness.outcome(run_id).value() == ["left", "firstsecond"]
    assert world.done == ["first", "second", "left"]


def test_a_run_resumes_by_itself_as_often_as_its_agent_says(world: World) -> None:
    @agent(auto_resume=3, after=120)
    async def job(run: Run) -> str:
        await run.step(world.do, "once")
        return await run.step(world.fragile, "work", retry=ONCE)

    @agent
    async def caller(run: Run) -> str:
        return await run.call(job)

    harness = Harness(caller, job)
    run_id = harness.submit(caller)
    harness.advance(130)
    assert harness.status(run_id) == "waiting", "the caller hears of the last failure only"
    world.down = False
    harness.advance(200)
    assert harness.outcome(run_id).value() == "work"
    assert world.done == ["once", "work"]


def test_auto_resume_ends(world: World) -> None:
    @agent(auto_resume=2, after=1)
    async def job(run: Run) -> str:
        return await run.step(world.fragile, "work", retry=ONCE)

    ended = run_agent(job)
    assert ended.status == "failed"
    assert ended.view["endings"] == 3


@both
def test_a_failed_stage_is_resumed_with_its_finished_stages_kept(world: World, evict: bool) -> None:
    @agent
    async def staged(run: Run) -> str:
        for name in ("REASONING", "SEARCHING", "ACTING"):
            async with run.stage(name, timeout=minutes(5)):
                await run.progress(name.lower(), {"REASONING": 20, "SEARCHING": 50, "ACTING": 80}[name])
                await run.step(world.fragile if name == "ACTING" else world.do, name, retry=ONCE)
        return "done"

    harness = Harness(staged, evict=evict)
    run_id = harness.submit(staged)
    harness.run(limit_s=1)
    failed = harness.outcome(run_id)
    assert (failed.view["stage"], failed.view["progress"]) == ("ACTING", 80)
    ends = [(line["name"], line["status"]) for line in failed.history if line["kind"] == "stage_end"]
    assert ends == [("REASONING", "completed"), ("SEARCHING", "completed"), ("ACTING", "failed")]
    world.down = False
    harness.advance(minutes(60))
    harness.resume(run_id)
    harness.settle()
    assert harness.outcome(run_id).value() == "done"
    assert world.done == ["REASONING", "SEARCHING", "ACTING"]
    assert harness.outcome(run_id).view["progress"] == 100


# fork


@both
def test_a_fork_repeats_nothing_before_it_and_everything_after_it(world: World, evict: bool) -> None:
    @agent
    async def job(run: Run) -> list[str]:
        first = await run.step(world.do, "first", name="plan")
        second = await run.step(world.do, first + "!", name="work")
        return [first, second]

    harness = Harness(job, evict=evict)
    run_id = harness.submit(job)
    harness.run()
    new_id = harness.fork(run_id, "work", {"plan": "edited"})
    harness.run()
    assert harness.outcome(new_id).value() == ["edited", "edited!"]
    assert world.done == ["first", "first!", "edited!"]
    assert harness.outcome(new_id).view["forked_from"] == run_id
    assert harness.outcome(run_id).view["forks"] == [new_id]
    assert harness.outcome(run_id).value() == ["first", "first!"]


def test_a_fork_can_give_the_answer_of_the_step_itself_by_its_rank(world: World) -> None:
    @agent
    async def job(run: Run) -> list[str]:
        return [await run.step(world.do, what) for what in ("a", "b", "c")]

    harness = Harness(job)
    run_id = harness.submit(job)
    harness.run()
    rank = next(line["seq"] for line in harness.outcome(run_id).history if line["output"] == "b")
    new_id = harness.fork(run_id, rank, {str(rank): "B"})
    harness.run()
    assert harness.outcome(new_id).value() == ["a", "B", "c"]
    assert world.done == ["a", "b", "c", "c"]


# versions


def code(order: str, world: World, *, version: int = 1, patch: bool = False) -> Any:
    """Return an agent of the same name whose steps come in the order given; `p` is guarded by a patch."""

    async def changing(run: Run) -> str:
        found = ""
        for what in order:
            if what != "p":
                found += await run.step(world.do, what, name=what)
                await run.sleep(10)
            elif run.patched("extra"):
                found += await run.step(world.do, "P", name="P")
        return found

    return agent(version=version)(changing)


def moved(harness: Harness, changed: Any) -> None:
    harness.agents["changing"] = changed
    harness.crash()


def test_the_same_journal_continues_under_changed_code_that_fits(world: World) -> None:
    old = code("ab", world)
    harness = Harness(old)
    run_id = harness.submit(old)
    harness.settle()
    moved(harness, code("abc", world))
    harness.run()
    assert harness.outcome(run_id).value() == "abc"
    assert world.done == ["a", "b", "c"]


def test_code_that_does_not_fit_parks_the_run_and_names_the_entry(world: World) -> None:
    old = code("ab", world)
    harness = Harness(old)
    run_id = harness.submit(old)
    harness.advance(11)
    moved(harness, code("xb", world))
    parked = harness.outcome(run_id)
    assert (parked.status, parked.error["type"], parked.error["entry"]) == ("failed", "JournalMismatch", "1")
    assert "run.patched" in parked.error["message"]
    moved(harness, old)
    harness.resume(run_id)
    harness.run()
    assert harness.outcome(run_id).value() == "ab"
    assert world.done == ["a", "b"]


def test_a_patch_is_taken_by_new_runs_and_left_out_by_those_that_passed_it(world: World) -> None:
    old, new = code("ab", world), code("apb", world)
    harness = Harness(old)
    before = harness.submit(old)
    harness.advance(11)
    moved(harness, new)
    after = harness.submit(new)
    harness.settle()
    harness.crash()
    harness.run()
    assert harness.outcome(before).value() == "ab"
    assert harness.outcome(after).value() == "aPb"


def test_a_worker_with_older_code_holds_the_run(world: World) -> None:
    new = code("ab", world, version=2)
    harness = Harness(new)
    run_id = harness.submit(new)
    harness.settle()
    older = Machine(code("ab", world), run_id)
    decision = older.restore(harness.entries(run_id), harness.now_ms)
    assert (older.status, older.view().reason) == ("waiting", "version")
    assert not decision.entries
    assert not decision.perform


# what agents must not do


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
