"""The machine's rules, one test each: one entry a path, log order, commits before effects, harmless repeats."""

from __future__ import annotations

from typing import Any

from schemas.run import RunSubmitted
from streams import RetryPolicy, Run, agent
from streams.define import Agent
from streams.engine.decision import Decision
from streams.engine.entry import Entry
from streams.engine.machine import Machine
from streams.engine.messages import (
    ChildDone,
    EffectDone,
    ErrorInfo,
    ResumeAsked,
    SignalArrived,
    Start,
    Submit,
    TimerFired,
)


def submitted(agent: Agent[Any, Any], input: Any = None) -> tuple[Machine, Decision]:
    machine = Machine(agent, "r", pool="default")
    decision = machine.handle(Submit(RunSubmitted(run_id="r", agent=agent.name, input=input)), 1_000)
    decision.merge(machine.handle(Start(), 1_001))
    return machine, decision


def done(decision: Decision, index: int, value: Any) -> EffectDone:
    perform = decision.perform[index]
    return EffectDone(perform.path, perform.resume, perform.attempt, value)


def stored(*decisions: Decision) -> list[Entry]:
    return list({entry.key(): entry for decision in decisions for entry in decision.entries}.values())


@agent
async def pair(run: Run) -> list[int]:
    order: list[int] = []

    async def one(number: int) -> None:
        order.append(await run.step(int, number, name=f"step {number}"))

    await run.gather(one(0), one(1))
    return order


def test_results_are_handed_over_in_log_order_live_and_in_a_replay() -> None:
    machine, begun = submitted(pair)
    late = machine.handle(done(begun, 1, 1), 1_010)
    machine.drop()
    again = Machine(pair, "r")
    restored = again.restore(stored(begun, late), 2_000)
    assert [perform.path for perform in restored.perform] == ["1.0.1"]
    ended = again.handle(done(restored, 0, 0), 2_001)
    assert ended.ended == "succeeded"
    assert ended.entries[-1].output == [1, 0], "the order of completion, not of the code"


def test_branches_have_paths_of_their_own() -> None:
    machine, begun = submitted(pair)
    assert [(perform.path, perform.name) for perform in begun.perform] == [("1.0.1", "step 0"), ("1.1.1", "step 1")]
    machine.drop()


def test_the_same_completion_twice_is_kept_as_late_and_not_handed_over() -> None:
    machine, begun = submitted(pair)
    machine.handle(done(begun, 0, 0), 1_010)
    repeated = machine.handle(done(begun, 0, 0), 1_011)
    assert [(entry.path, entry.kind) for entry in repeated.entries] == [("1.0.1~late", "late")]
    assert machine.status == "running"
    machine.drop()


def test_a_submission_twice_is_one_run() -> None:
    machine, _ = submitted(pair)
    assert machine.handle(Submit(RunSubmitted(run_id="r", agent="pair")), 5) == Decision()
    assert machine.handle(Start(), 5) == Decision()
    machine.drop()


def test_a_pure_step_says_so() -> None:
    @agent
    async def thinks(run: Run) -> int:
        return await run.step(int, 1, pure=True)

    machine, begun = submitted(thinks)
    assert begun.perform[0].pure
    machine.drop()


def test_a_timer_twice_or_after_its_time_changes_nothing() -> None:
    @agent
    async def naps(run: Run) -> str:
        await run.sleep(1)
        await run.sleep(1)
        return "up"

    machine, begun = submitted(naps)
    timer = begun.timers[0]
    first = machine.handle(TimerFired(timer.path, timer.due_ms), 2_100)
    assert machine.handle(TimerFired(timer.path, timer.due_ms), 2_101) == Decision()
    second = first.timers[0]
    assert machine.handle(TimerFired(second.path, second.due_ms), 3_300).ended == "succeeded"
    assert machine.handle(TimerFired(second.path, second.due_ms), 3_301) == Decision()


def test_a_childs_ending_twice_or_of_another_child_changes_nothing() -> None:
    @agent
    async def child(n: int) -> int:
        return n

    @agent
    async def parent(run: Run) -> int:
        return await run.call(child, 1) + await run.call(child, 2)

    machine, begun = submitted(parent)
    output = next(out for out in begun.outputs if out.to == "agents")
    ended = ChildDone("1", output.key, 1, "succeeded", 1)
    machine.handle(ChildDone("1", "c-other", 1, "succeeded", 5), 1_005)
    assert machine.handle(ended, 1_010).entries[0].output == 1
    assert not machine.handle(ChildDone("2", "c-other", 1, "succeeded", 5), 1_011).ended
    machine.drop()


def test_signals_to_ended_runs_are_dropped_and_to_failed_ones_kept() -> None:
    @agent
    async def fails(run: Run) -> str:
        await run.step(str, "x", retry=RetryPolicy(attempts=1), name="work")
        return str(await run.wait_for("word"))

    machine, begun = submitted(fails)
    perform = begun.perform[0]
    failed = machine.handle(EffectDone(perform.path, 0, 1, error=ErrorInfo("OSError", "no")), 1_010)
    assert failed.ended == "failed"
    kept = machine.handle(SignalArrived("s1", "word", "hello"), 1_020)
    assert [entry.path for entry in kept.entries] == ["~in/s1"]
    assert machine.handle(ResumeAsked("q", ending=7), 1_025) == Decision(), "another ending"
    again = machine.handle(ResumeAsked("q", ending=1), 1_030)
    assert [(p.path, p.resume, p.attempt) for p in again.perform] == [("1", 1, 1)]
    assert again.perform[0].idempotency_key == perform.idempotency_key
    ended = machine.handle(EffectDone("1", 1, 1, "x"), 1_040)
    assert ended.ended == "succeeded"
    assert ended.entries[-1].output == "hello"
    assert machine.handle(SignalArrived("s2", "word", "late"), 1_050) == Decision()


def test_an_event_its_entry_and_a_childs_submission_are_one_unit() -> None:
    @agent
    async def child(n: int) -> int:
        return n

    @agent
    async def parent(run: Run) -> int:
        return await run.call(child, 1)

    machine, begun = submitted(parent)
    assert {output.to for output in begun.outputs} == {"runs", "agents"}
    assert [entry.kind for entry in begun.entries] == ["submitted", "started", "call"]
    machine.drop()


def test_a_result_that_is_no_json_fails_the_step_and_not_the_worker() -> None:
    @agent
    async def odd(run: Run) -> None:
        await run.step(object, name="odd")

    machine, begun = submitted(odd)
    assert machine.handle(done(begun, 0, object()), 1_010).ended == "failed"


def test_a_result_is_the_same_object_shape_live_and_in_a_replay() -> None:
    @agent
    async def mutates(run: Run) -> list[int]:
        numbers: list[int] = await run.step(lambda: [1, 2], name="list")
        numbers.append(3)
        await run.step(int, 1)
        return numbers

    machine, begun = submitted(mutates)
    first = machine.handle(done(begun, 0, [1, 2]), 1_010)
    assert first.entries[0].output == [1, 2], "what the function does to its copy is not recorded"
    machine.drop()
    again = Machine(mutates, "r")
    restored = again.restore(stored(begun, first), 2_000)
    assert again.handle(done(restored, 0, 1), 2_001).entries[-1].output == [1, 2, 3]


def test_now_is_the_time_of_the_last_entry_handed_over() -> None:
    @agent
    async def clock(run: Run) -> list[float]:
        times = [run.now().timestamp()]
        await run.step(int, 1)
        return [*times, run.now().timestamp()]

    machine, begun = submitted(clock)
    assert machine.handle(done(begun, 0, 1), 5_000).entries[-1].output == [1.001, 5.0]
