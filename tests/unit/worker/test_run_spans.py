"""Spans of runs: one for each thing that is recorded, with the same id however often it is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.call import CallRecorded
from schemas.run import RunSubmitted
from schemas.trace_context import parsed, span_id
from streams import clock
from streams.engine.decision import Decision, Output
from streams.engine.messages import EffectDone, ErrorInfo, SignalArrived, Start
from streams.runtime.commit_unit import CommitUnit
from streams.tracing import Span
from streams.worker.runs.active_run import ActiveRun
from streams.worker.runs.run_hooks import RunHooks
from streams.worker.runs.run_manager import send_output
from streams.worker.runs.run_spans import RunSpans
from tests.unit.worker.test_run_metrics import Room

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CAUSE = f"00-{TRACE}-00f067aa0ba902b7-01"


class Hooks(RunHooks):
    def __init__(self, spans: RunSpans) -> None:
        self.spans = spans

    def decided(self, live: ActiveRun, decision: Decision) -> None:
        self.spans.decided(live, decision)


class Traced:
    """A run with a trace, and the spans that were exported."""

    def __init__(self, folder: Path, traceparent: str | None) -> None:
        self.spans: list[Span] = []
        self.room = Room(folder, Hooks(RunSpans(self.spans.append)), traceparent)

    def to_the_end(self, *, failing: bool = False) -> None:
        self.room.commit()
        self.room.send(Start())
        self.room.commit()
        self.room.done(value=1)
        self.room.send(SignalArrived("s", "go"))
        self.room.commit()
        call = CallRecorded(
            hash="h",
            run_id="one",
            path="2",
            kind="llm",
            name="small",
            answer="7",
            usage={"input_tokens": 10, "output_tokens": 2},
            started_ms=1,
            finished_ms=2,
        )
        if failing:
            self.room.done(error=ErrorInfo("Reject", "never", rejected=True))
        else:
            self.room.done(value="7", encoded=True, calls=[call])

    def named(self, name: str) -> Span:
        [found] = [span for span in self.spans if span.name == name]
        return found


@pytest.fixture
def at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: 1_000_000)


@pytest.mark.usefixtures("at_work")
def test_a_run_is_a_tree_in_the_trace_of_what_asked_for_it(tmp_path: Path) -> None:
    traced = Traced(tmp_path, CAUSE)
    traced.to_the_end()
    run = traced.named("invoke_agent asks")
    assert (run.context.trace_id, run.context.span_id, run.parent_id) == (TRACE, span_id("one"), "00f067aa0ba902b7")
    assert run.attributes["streams.run.outcome"] == "succeeded"
    step = traced.named("step fetch")
    assert (step.context.trace_id, step.parent_id) == (TRACE, run.context.span_id)
    assert (step.end_ms - step.start_ms, step.error) == (250, None)
    asked = [span for span in traced.spans if span.name.startswith("llm ")]
    assert [span.parent_id for span in asked] == [run.context.span_id]
    chat = traced.named("chat small")
    assert chat.attributes["gen_ai.usage.input_tokens"] == 10
    assert chat.parent_id == span_id("one", "2")


@pytest.mark.usefixtures("at_work")
def test_no_id_is_exported_twice_and_repeated_work_has_the_same(tmp_path: Path) -> None:
    first, second = Traced(tmp_path / "1", CAUSE), Traced(tmp_path / "2", CAUSE)
    for traced in (first, second):
        traced.to_the_end()
    ids = [span.context for span in first.spans]
    assert len(set(ids)) == len(ids) > 3
    assert [span.context for span in second.spans] == ids


@pytest.mark.usefixtures("at_work")
def test_what_failed_says_why(tmp_path: Path) -> None:
    traced = Traced(tmp_path, None)
    traced.to_the_end(failing=True)
    run = traced.named("invoke_agent asks")
    assert run.error is not None
    assert "never" in run.error
    assert run.parent_id is None, "nothing is known that asked for it"


@pytest.mark.usefixtures("at_work")
def test_what_is_not_committed_is_not_exported(tmp_path: Path) -> None:
    traced = Traced(tmp_path, CAUSE)
    traced.room.commit()
    traced.room.send(Start())
    traced.room.commit()
    perform = traced.room.performed.pop()
    traced.room.send(EffectDone(perform.path, perform.resume, perform.attempt, value=1, started_ms=1, finished_ms=2))
    assert traced.spans == []
    traced.room.commit()
    assert [span.name for span in traced.spans] == ["step fetch"]


@pytest.mark.usefixtures("at_work")
def test_what_a_run_writes_is_in_its_trace_and_a_child_below_its_call(tmp_path: Path) -> None:
    traced = Traced(tmp_path, CAUSE)
    traced.room.commit()
    live, room = traced.room.live, traced.room
    child = RunSubmitted(run_id="two", agent="asks", parent="one", parent_path="7")
    output = Output("agents", child, "two/submitted/0", "two", "asks")
    unit = CommitUnit(room.owned)
    send_output(room.writer, unit, output, live)
    [(_, value, _, _, headers)] = unit.outs
    found = parsed(dict(headers or ())["traceparent"].decode())  # type: ignore[union-attr]
    assert found is not None
    assert (found.trace_id, found.span_id) == (TRACE, span_id("one", "7"))
    assert room.writer.codec.decode(value or b"", RunSubmitted).traceparent == found.header
