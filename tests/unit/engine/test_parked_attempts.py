"""A call that has to wait for somebody: out of memory, seen as waiting, and made once it may be."""

from __future__ import annotations

from schemas.run import RunSubmitted
from streams import Run, agent
from streams.engine.effects import PARK_MS
from streams.engine.machine import Machine
from streams.engine.messages import CancelAsked, EffectDone, Start, Submit, TimerFired


@agent
async def asks(run: Run) -> str:
    return await run.llm("?")


def begun() -> Machine:
    machine = Machine(asks, "r")
    machine.handle(Submit(RunSubmitted(run_id="r", agent="asks", input=None)), 1_000)
    machine.handle(Start(), 1_000)
    return machine


def test_a_parked_run_waits_with_the_reason_and_its_attempt_is_not_counted() -> None:
    machine = begun()
    decision = machine.handle(EffectDone("1", 0, 1, parked="spent"), 2_000)
    assert [(entry.status, entry.attempt) for entry in decision.entries] == [("scheduled", 0)]
    view = machine.view().to_json()
    assert (machine.status, machine.idle, view["status"], view["reason"]) == ("waiting", True, "waiting", "spent")
    assert view["usage"]["llm_calls"] == 0
    again = machine.handle(TimerFired("1", 2_000 + PARK_MS), 2_000 + PARK_MS)
    assert [perform.attempt for perform in again.perform] == [1]
    assert machine.status == "running"
    ended = machine.handle(EffectDone("1", 0, 1, "yes"), 9_000)
    assert ended.ended == "succeeded"
    assert machine.view().to_json()["reason"] is None


def test_looking_again_for_nothing_is_not_recorded() -> None:
    machine = begun()
    due = 2_000
    machine.handle(EffectDone("1", 0, 1, parked="spent"), due)
    for _ in range(3):
        due += PARK_MS
        machine.handle(TimerFired("1", due), due)
        decision = machine.handle(EffectDone("1", 0, 1, parked="spent"), due)
        assert decision.entries == []
        assert [timer.due_ms for timer in decision.timers] == [due + PARK_MS]
        assert machine.status == "waiting"


def test_a_parked_run_comes_back_from_its_journal() -> None:
    machine = begun()
    machine.handle(EffectDone("1", 0, 1, parked="spent"), 2_000)
    entries = {entry.key(): entry for entry in machine.journal.entries}.values()
    machine.drop()
    early = Machine(asks, "r")
    restored = early.restore(entries, 3_000)
    assert (restored.perform, early.status) == ([], "waiting")
    assert [timer.due_ms for timer in restored.timers] == [2_000 + PARK_MS]
    late = Machine(asks, "r")
    assert [perform.attempt for perform in late.restore(entries, 60_000).perform] == [1]
    assert late.handle(EffectDone("1", 0, 1, "yes"), 60_001).ended == "succeeded"


def test_a_parked_run_can_be_cancelled() -> None:
    machine = begun()
    machine.handle(EffectDone("1", 0, 1, parked="spent"), 2_000)
    assert machine.handle(CancelAsked("c"), 2_001).ended == "cancelled"
