"""Sleeps, signals and approvals: nothing is held in memory, and what comes early is not lost."""

from __future__ import annotations

import pytest

from schemas import Event
from streams import Run, TimedOut, agent, days, minutes, tool
from streams.clock import iso
from streams.engine.approvals import open_approvals
from streams.testing import Harness, ScriptedModel


class Approval(Event, type="test.approval", key="who"):
    who: str
    yes: bool


@agent
async def ask_somebody(run: Run) -> str:
    try:
        answer = await run.wait_for(Approval, lambda given: given.yes, timeout=days(2))
    except TimedOut:
        return "nobody"
    return answer.who


both = pytest.mark.parametrize("evict", [False, True])


@both
def test_a_sleep_of_weeks_ends_when_it_is_time(evict: bool) -> None:
    @agent
    async def patient(run: Run) -> float:
        before = run.now()
        await run.sleep(days(21))
        return (run.now() - before).total_seconds()

    harness = Harness(patient, evict=evict)
    run_id = harness.submit(patient)
    harness.advance(days(20))
    assert harness.status(run_id) == "waiting"
    harness.advance(days(2))
    assert harness.outcome(run_id).value() == days(21)


@both
def test_a_signal_that_fits_ends_the_wait(evict: bool) -> None:
    harness = Harness(ask_somebody, evict=evict)
    run_id = harness.submit(ask_somebody)
    harness.settle()
    harness.signal(run_id, Approval(who="ann", yes=False))
    harness.signal(run_id, "something.else", {"who": "eve"})
    harness.signal(run_id, "test.approval", {"no": "such field"})
    harness.settle()
    assert harness.status(run_id) == "waiting"
    harness.signal(run_id, Approval(who="bob", yes=True))
    harness.settle()
    assert harness.outcome(run_id).value() == "bob"
    waited = [line for line in harness.outcome(run_id).history if line["kind"] == "wait"]
    assert waited[0]["output"] == {"who": "bob", "yes": True}


@both
def test_a_wait_without_a_signal_times_out(evict: bool) -> None:
    harness = Harness(ask_somebody, evict=evict)
    run_id = harness.submit(ask_somebody)
    harness.advance(days(3))
    assert harness.outcome(run_id).value() == "nobody"


@both
def test_a_signal_that_comes_before_the_run_or_before_the_wait_is_kept(evict: bool) -> None:
    @agent
    async def late(run: Run) -> list[str]:
        await run.sleep(60)
        first = await run.wait_for(Approval)
        second = await run.wait_for(Approval)
        return [first.who, second.who]

    harness = Harness(late, evict=evict)
    harness.signal("r", Approval(who="early", yes=True))
    harness.settle()
    harness.submit(late, run_id="r")
    harness.settle()
    harness.signal("r", Approval(who="meanwhile", yes=True))
    harness.run()
    assert harness.outcome("r").value() == ["early", "meanwhile"]


@both
def test_the_same_signal_twice_counts_once(evict: bool) -> None:
    @agent
    async def counts(run: Run) -> list[str]:
        found = [(await run.wait_for("tick"))["n"]]
        found.append((await run.wait_for("tick"))["n"])
        return found

    harness = Harness(counts, evict=evict)
    run_id = harness.submit(counts)
    harness.signal(run_id, "tick", {"n": "a"}, id="1")
    harness.signal(run_id, "tick", {"n": "again"}, id="1")
    harness.settle()
    assert harness.status(run_id) == "waiting"
    harness.signal(run_id, "tick", {"n": "b"}, id="2")
    harness.settle()
    assert harness.outcome(run_id).value() == ["a", "b"]


def test_a_predicate_that_raises_fails_the_run_and_not_the_worker() -> None:
    @agent
    async def wrong(run: Run) -> str:
        return str(await run.wait_for("x", lambda data: data["missing"]))

    harness = Harness(wrong)
    run_id = harness.submit(wrong)
    harness.signal(run_id, "x", {})
    harness.settle()
    assert harness.outcome(run_id).error["type"] == "KeyError"


@pytest.mark.parametrize("approved", [True, False])
def test_a_tool_with_consequences_waits_for_a_person_who_sees_its_exact_arguments(approved: bool) -> None:
    @tool(approval=True)
    def pay(amount: int) -> str:
        return f"paid {amount}"

    @agent(tools=[pay])
    async def clerk(run: Run) -> str:
        return await run.tool(pay, amount=7)

    harness = Harness(clerk)
    run_id = harness.submit(clerk)
    harness.settle()
    [asked] = open_approvals(harness.outcome(run_id).history)
    assert (asked["what"], asked["parameters"], asked["until"]) == ("pay", {"amount": 7}, None)
    token = asked["token"]
    harness.signal(run_id, "approval", {"token": "of another", "approved": True})
    harness.settle()
    assert harness.calls == []
    harness.signal(run_id, "approval", {"token": token, "approved": approved, "comment": "fine"})
    harness.settle()
    ended = harness.outcome(run_id)
    assert ended.status == ("succeeded" if approved else "failed")
    assert len(harness.calls) == approved
    assert open_approvals(ended.history) == []


def test_several_questions_are_open_at_once_each_until_its_time() -> None:
    @agent
    async def board(run: Run) -> list[str]:
        asked = (run.approve("hire", 1), run.approve("fire", 2, timeout=60))
        return [str(said) for said in await run.gather(*asked, return_exceptions=True)]

    harness = Harness(board)
    run_id = harness.submit(board)
    harness.settle()
    hire, fire = open_approvals(harness.outcome(run_id).history)
    assert (hire["what"], hire["until"], fire["what"]) == ("hire", None, "fire")
    assert fire["until"] == iso(harness.now_ms + 60_000)
    harness.advance(61)
    assert open_approvals(harness.outcome(run_id).history) == [hire]
    harness.signal(run_id, "approval", {"token": hire["token"], "approved": True, "comment": "yes"})
    harness.settle()
    assert harness.outcome(run_id).result == ["yes", "no approval came within 60 s"]


def test_a_model_cannot_go_without_the_approval_that_its_tool_needs() -> None:
    @tool(approval=True)
    def pay(amount: int) -> str:
        return f"paid {amount}"

    @agent(tools=[pay])
    async def clerk(run: Run) -> str:
        return await run.llm("Pay what is due.", tools=[pay])

    wish = {"action": {"tool": "pay", "arguments": {"amount": 7}}}
    answer = {"action": {"tool": "none", "answer": "It is paid."}}
    harness = Harness(clerk, model=ScriptedModel(wish, answer))
    run_id = harness.submit(clerk)
    harness.settle()
    assert harness.status(run_id) == "waiting"
    assert [call.kind for call in harness.calls] == ["llm"]
    asked = next(line for line in harness.outcome(run_id).history if line["kind"] == "approval")
    harness.signal(run_id, "approval", {"token": asked["input"]["token"], "approved": True})
    harness.settle()
    assert harness.outcome(run_id).result == "It is paid."
    assert [call.name for call in harness.calls if call.kind == "tool"] == ["pay"]


def test_a_delayed_submission_starts_when_its_time_comes() -> None:
    harness = Harness(ask_somebody)
    run_id = harness.submit(ask_somebody, not_before_ms=harness.now_ms + 60_000)
    harness.advance(minutes(0.5))
    assert harness.status(run_id) == "queued"
    harness.advance(minutes(1))
    assert harness.status(run_id) == "waiting"
