"""A run that a schedule started tells it of each ending, and is else a run like any other."""

from __future__ import annotations

from pydantic import BaseModel

from schemas.schedule import ScheduleRunEnded
from streams import RetryPolicy, Run, agent
from streams.testing import Harness


class Task(BaseModel):
    fails: bool = False


@agent
async def nightly(task: Task, run: Run) -> str:
    """Do what is to be done."""

    def act() -> str:
        if task.fails:
            raise RuntimeError("no")
        return "done"

    return str(await run.step(act, retry=RetryPolicy(attempts=1)))


@agent(auto_resume=1, after=1.0)
async def stubborn(task: Task, run: Run) -> None:
    """Fail, twice."""
    del task, run
    raise RuntimeError("no")


def told(*, fails: bool, schedule: str | None) -> Harness:
    harness = Harness(nightly)
    harness.submit(nightly, Task(fails=fails), run_id="t-1", schedule=schedule)
    harness.run()
    return harness


def test_the_schedule_hears_how_its_run_ended() -> None:
    (output,) = [one for one in told(fails=False, schedule="digest").outputs if one.to == "signals"]
    assert output.event == ScheduleRunEnded(schedule="digest", run_id="t-1", ending=1, status="succeeded")
    assert (output.key, output.id, output.pool) == ("digest", "t-1/ended/1", "default")


def test_a_failed_run_of_a_schedule_is_a_dead_letter_as_well() -> None:
    harness = told(fails=True, schedule="digest")
    assert [vars(event)["status"] for event in harness.records("signals")] == ["failed"]
    assert len(harness.records("dead-letters")) == 1


def test_a_run_that_resumes_itself_has_not_ended_for_its_schedule() -> None:
    """It fails, resumes after a second, fails again: the schedule hears of the second ending."""
    harness = Harness(stubborn)
    harness.submit(stubborn, Task(fails=True), run_id="t-1", schedule="digest")
    harness.run()
    harness.advance(5)
    assert [(vars(event)["ending"], vars(event)["status"]) for event in harness.records("signals")] == [(2, "failed")]


def test_a_run_of_nobody_tells_nobody() -> None:
    assert told(fails=False, schedule=None).records("signals") == []
