"""Concurrency keys over two real workers: one run of a customer at a time, from start to end."""

from __future__ import annotations

import asyncio

import pytest

from schemas.signal import CancelRequested, ResumeRequested
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import until
from tests.kafka.limits.lines import lines, processes, times, together

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_runs_of_one_customer_go_one_at_a_time_and_those_of_others_beside_them(shared: Pipeline) -> None:
    runs = await asyncio.gather(
        *(shared.submit_many(12, "keyed", customer=customer, seconds=0.05) for customer in ("one", "two"))
    )
    await shared.ended([*runs[0], *runs[1]])
    for name in ("keyed-one", "keyed-two"):
        assert len(times(shared.effects_folder, name, "end")) == 12
        assert together(shared.effects_folder, name) == 1
        assert len(processes(shared.effects_folder, name)) == 2, "both workers had some"

    async def none_waits() -> bool:
        told = [(await worker.owner.get("/metrics")).text for worker in shared.workers]
        return all("streams_keys_waiting 0.0" in text for text in told)

    await until(none_waits)
    assert times(shared.effects_folder, "keyed-two", "begin")[0] < times(shared.effects_folder, "keyed-one", "end")[-1]


async def test_a_waiting_run_keeps_its_key(shared: Pipeline) -> None:
    runs = await shared.submit_many(3, "keyed", customer="sleepy", seconds=0.3, then="sleep")
    await shared.ended(runs)
    assert together(shared.effects_folder, "keyed-sleepy") == 1


async def test_null_is_no_key(shared: Pipeline) -> None:
    runs = await shared.submit_many(6, "keyed", seconds=0.5)
    await shared.ended(runs)
    assert together(shared.effects_folder, "keyed-None") > 1


async def test_an_agent_that_calls_itself_does_not_wait_for_itself(shared: Pipeline) -> None:
    runs = await shared.submit_many(4, "keyed", customer="nested", seconds=0.05, then="self")
    await shared.ended(runs)
    assert together(shared.effects_folder, "keyed-nested") == 1
    assert len(times(shared.effects_folder, "keyed-nested", "end")) == 4


async def test_a_queued_run_that_is_cancelled_is_passed_over(shared: Pipeline) -> None:
    [first] = await shared.submit_many(1, "keyed", customer="calm", then="hold")
    await until(lambda: bool(lines(shared.effects_folder, "keyed-calm")))
    second, third = await shared.submit_many(2, "keyed", customer="calm")
    await shared.say(CancelRequested(run_id=second, request_id="c"))
    await shared.ended([second])
    (shared.effects_folder / "let go").touch()
    ended = await shared.ended([first, second, third])
    assert [ended[run][0].event_type for run in (first, second, third)] == [
        "run.succeeded",
        "run.cancelled",
        "run.succeeded",
    ]


async def test_a_resume_waits_for_the_key(shared: Pipeline) -> None:
    [failed] = await shared.submit_many(1, "keyed", customer="broken", then="fail")
    await shared.ended([failed])
    [other] = await shared.submit_many(1, "keyed", customer="broken", seconds=1.5)
    await until(lambda: len(times(shared.effects_folder, "keyed-broken", "begin")) == 2)
    await shared.say(ResumeRequested(run_id=failed, request_id="again"))

    async def twice() -> bool:
        return len((await shared.endings([failed]))[failed]) == 2

    await until(twice)
    endings = await shared.endings([other])
    assert len(endings[other]) == 1, "the resumed run failed again only after the other had let go"
