"""Attempts of steps and tools: backoff, the two words, time limits of an attempt, a stage and a run."""

from __future__ import annotations

from streams import Reject, Retry, RetryPolicy, Run, SoftTimeout, StepFailed, TimedOut, agent, minutes, seconds, tool
from streams.testing import Hang, Harness, run_agent

EXACT = RetryPolicy(attempts=4, first=1, factor=2, cap=3, jitter=False)


class Flaky:
    """Fails the given times, then answers."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)

    def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_a_failing_step_is_tried_again_with_growing_capped_waits() -> None:
    outside = Flaky(OSError("1"), OSError("2"), OSError("3"))

    @agent
    async def job(run: Run) -> str:
        return await run.step(outside, retry=EXACT)

    harness = Harness(job)
    run_id = harness.submit(job)
    waits = []
    harness.settle()
    while harness.status(run_id) != "succeeded":
        before = harness.now_ms
        harness.run(limit_s=4)
        waits.append(harness.now_ms - before)
    assert sum(waits) == 1000 + 2000 + 3000
    assert [call.attempt for call in harness.calls] == [1, 2, 3, 4]
    assert len({call.idempotency_key for call in harness.calls}) == 1


def test_a_step_fails_for_good_when_its_attempts_are_used_up() -> None:
    @agent
    async def job(run: Run) -> str:
        return await run.step(Flaky(*[OSError("no")] * 9), retry=EXACT, name="fetch")

    ended = run_agent(job)
    assert ended.status == "failed"
    assert ended.error["type"] == "StepFailed"
    assert ended.error["cause"] == "OSError"
    assert ended.error["path"] == "1"
    assert len(ended.calls) == 4


def test_retry_after_is_honoured_and_counted_among_the_attempts() -> None:
    outside = Flaky(Retry("busy", after=seconds(90)), Retry("busy", after=seconds(90)))

    @agent
    async def job(run: Run) -> str:
        return await run.step(outside, retry=RetryPolicy(attempts=3, never=(Retry,)))

    harness = Harness(job)
    run_id = harness.submit(job)
    harness.advance(179)
    assert harness.status(run_id) != "succeeded"
    harness.advance(2)
    assert harness.outcome(run_id).value() == "done"


def test_an_answer_that_says_when_to_come_back_is_waited_for_if_the_policy_allows_the_error() -> None:
    class BusyError(Exception):
        retry_after = 120

    @agent
    async def job(run: Run) -> list[str]:
        patient = await run.step(Flaky(BusyError("busy")), retry=RetryPolicy(attempts=2), name="patient")
        try:
            return [patient, await run.step(Flaky(BusyError("busy")), retry=RetryPolicy(never=(BusyError,)), name="no")]
        except StepFailed as error:
            return [patient, error.type]

    harness = Harness(job)
    run_id = harness.submit(job)
    harness.advance(119)
    assert harness.status(run_id) == "running"
    harness.advance(2)
    assert harness.outcome(run_id).value() == ["done", "BusyError"]


def test_reject_is_never_tried_again() -> None:
    @agent
    async def job(run: Run) -> str:
        return await run.step(Flaky(Reject("bad address")), retry=EXACT)

    ended = run_agent(job)
    assert len(ended.calls) == 1
    assert "bad address" in ended.error["message"]


def test_on_and_never_select_errors_by_class() -> None:
    @agent
    async def job(run: Run) -> list[str]:
        found = []
        for policy in (
            RetryPolicy(on=(OSError,)),
            RetryPolicy(never=(ConnectionError,)),
            RetryPolicy(on=("ValueError",)),
        ):
            try:
                found.append(await run.step(Flaky(ConnectionResetError("x")), retry=policy))
            except StepFailed as error:
                found.append(error.type)
        return found

    assert run_agent(job).value() == ["done", "ConnectionResetError", "ConnectionResetError"]


def test_an_attempt_that_takes_too_long_times_out_and_is_tried_again() -> None:
    outside = Flaky(Hang(), Hang())

    @agent
    async def job(run: Run) -> str:
        return await run.step(outside, timeout=seconds(30), retry=RetryPolicy(attempts=3, first=0))

    harness = Harness(job)
    run_id = harness.submit(job)
    harness.advance(61)
    assert harness.outcome(run_id).value() == "done"


def test_a_step_that_always_hangs_raises_timed_out() -> None:
    @agent
    async def job(run: Run) -> str:
        try:
            return await run.step(Flaky(Hang()), timeout=seconds(30), retry=RetryPolicy(attempts=1))
        except TimedOut as error:
            return f"gave up on {error.attempts}"

    assert run_agent(job).value() == "gave up on 1"


def test_a_tool_has_its_own_retry_policy_and_validated_arguments() -> None:
    @tool(retry=RetryPolicy(attempts=2, first=0))
    def double(n: int) -> int:
        raise AssertionError("the test answers")

    answers = Flaky(OSError("once"))

    @agent(tools=[double])
    async def job(run: Run) -> int:
        return await run.tool(double, n="4")

    ended = run_agent(job, tools={"double": lambda n: [answers(), n * 2][1]})
    assert ended.value() == 8
    assert [call.args for call in ended.calls] == [{"n": 4}] * 2


def test_a_stage_over_time_gets_a_soft_timeout_and_may_clean_up() -> None:
    @agent
    async def job(run: Run) -> str:
        try:
            async with run.stage("REASONING", timeout=minutes(5)):
                await run.sleep(minutes(60))
        except SoftTimeout:
            return await run.step(lambda: "saved", name="save")
        return "never"

    for evict in (False, True):
        harness = Harness(job, evict=evict)
        run_id = harness.submit(job)
        harness.advance(299)
        assert harness.status(run_id) == "waiting"
        harness.advance(2)
        assert harness.outcome(run_id).value() == "saved"


def test_a_stage_that_ignores_the_soft_timeout_ends_hard_and_resumable() -> None:
    patience = [0]

    @agent
    async def job(run: Run) -> str:
        async with run.stage("ACTING", timeout=10):
            try:
                await run.sleep(5 if patience[0] else 500)
            except SoftTimeout:
                await run.sleep(500)
        return "in time"

    for evict in (False, True):
        patience[0] = 0
        harness = Harness(job, evict=evict)
        run_id = harness.submit(job)
        harness.advance(19)
        assert harness.status(run_id) == "waiting"
        harness.advance(2)
        ended = harness.outcome(run_id)
        assert (ended.status, ended.error["type"], ended.view["stage"]) == ("failed", "HardTimeout", "ACTING")
        patience[0] = 1
        harness.advance(minutes(5))
        harness.resume(run_id)
        harness.run()
        assert harness.outcome(run_id).value() == "in time"


def test_the_deadline_of_an_agent_ends_its_runs() -> None:
    @agent(deadline=minutes(1))
    async def slow(run: Run) -> str:
        await run.sleep(minutes(10))
        return "late"

    harness = Harness(slow)
    run_id = harness.submit(slow)
    harness.run()
    ended = harness.outcome(run_id)
    assert ended.status == "failed"
    assert ended.error["type"] == "SoftTimeout"
    assert harness.now_ms - 1_700_000_000_000 >= 60_000


def test_a_run_that_is_resumed_after_its_deadline_gets_its_agents_time_again() -> None:
    length = [minutes(10)]

    @agent(deadline=minutes(1))
    async def slow(run: Run) -> str:
        await run.step(lambda: "begun", name="begin")
        await run.sleep(length[0])
        return "done"

    for evict in (False, True):
        length[0] = minutes(10)
        harness = Harness(slow, evict=evict)
        run_id = harness.submit(slow)
        harness.run()
        harness.resume(run_id)
        harness.run()
        assert harness.outcome(run_id).view["endings"] == 2
        length[0] = 5
        harness.resume(run_id)
        harness.run()
        assert harness.outcome(run_id).value() == "done"
        assert len(harness.calls) == 1


def test_a_run_between_attempts_says_when_the_next_is_and_why() -> None:
    @agent
    async def job(run: Run) -> str:
        await run.progress("reasoning", 25)
        return await run.step(Flaky(OSError("the line is dead")), retry=EXACT)

    harness = Harness(job)
    run_id = harness.submit(job)
    harness.settle()
    view = harness.outcome(run_id).view
    assert (view["progress"], view["progress_text"]) == (25, "reasoning")
    assert view["next_attempt_at"] is not None
    assert "attempt 1 of step" in view["reason"]
    assert "the line is dead" in view["reason"]
    harness.run(limit_s=4)
    view = harness.outcome(run_id).view
    assert (view["status"], view["next_attempt_at"], view["reason"]) == ("succeeded", None, None)
