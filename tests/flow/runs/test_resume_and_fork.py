"""Failed runs go on without repeating anything, and forks share what came before them."""

from __future__ import annotations

import pytest

from streams import Run, StepFailed, agent, minutes
from streams.testing import Harness, run_agent
from tests.flow.runs.world import ONCE, World

both = pytest.mark.parametrize("evict", [False, True])


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


@both
def test_a_fork_has_its_history_by_value_and_outlives_its_source(world: World, evict: bool) -> None:
    @agent
    async def job(run: Run) -> list[str]:
        first = await run.step(world.do, "first", name="plan")
        await run.wait_for("word")
        return [first, await run.step(world.do, first + "!", name="work")]

    harness = Harness(job, evict=evict)
    run_id = harness.submit(job)
    harness.settle()
    harness.signal(run_id, "word")
    harness.run()
    new_id = harness.fork(run_id, "plan", {"plan": "edited"})
    harness.settle()
    assert harness.status(new_id) == "waiting"
    del harness._journals[run_id]  # as after its retention
    harness.crash()
    harness.signal(new_id, "word")
    harness.run()
    assert harness.outcome(new_id).value() == ["edited", "edited!"]
    assert world.done == ["first", "first!", "edited!"]


def test_a_fork_that_cannot_be_leaves_the_run_alone_and_says_why(world: World) -> None:
    @agent
    async def job(run: Run) -> str:
        await run.step(world.do, "a", name="plan")
        await run.wait_for("word")
        return await run.step(lambda: "x" * 1_000_000, name="big")

    harness = Harness(job)
    run_id = harness.submit(job)
    harness.settle()
    harness.fork(run_id, "nowhere")
    harness.fork(run_id, "plan", {"big": 1})
    harness.settle()
    assert harness.status(run_id) == "waiting"
    harness.signal(run_id, "word")
    harness.settle()
    new_id = harness.fork(run_id, "big", {"big": "y" * 1_000_000})
    harness.run()
    assert harness.status(run_id) == "succeeded"
    assert new_id not in harness.run_ids
    refused = [line["error"]["message"] for line in harness.outcome(run_id).history if line["kind"] == "fork"]
    assert "no entry is called 'nowhere'" in refused[0]
    assert "no entry is called 'big'" in refused[1]
    assert "an entry takes" in refused[2]
    assert harness.outcome(run_id).view["forks"] == []
