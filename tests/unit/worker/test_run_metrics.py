"""What is counted of runs: once for each committed unit, and what runs wait for at any moment."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.call import CallRecorded
from schemas.catalogue import events
from schemas.run import RunSubmitted
from streams import Run, agent, clock
from streams.define.policies import RetryPolicy
from streams.engine.decision import Decision, Output, Perform
from streams.engine.entry import Entry
from streams.engine.messages import EffectDone, ErrorInfo, SignalArrived, Start, Submit, TimerFired
from streams.engine.view import fold
from streams.journal.journal_store import JournalStore
from streams.journal.record_writer import RecordWriter
from streams.runtime.commit_unit import CommitUnit
from streams.worker.runs.active_run import ActiveRun
from streams.worker.runs.run_hooks import RunHooks
from streams.worker.runs.run_manager import RunManager
from streams.worker.runs.run_metrics import RunMetrics
from tests.unit.runtime._fakes import owned_assignment
from topics.names import Names

RETRY = RetryPolicy(attempts=3, first=1.0, jitter=False)


def fetch() -> int:
    return 1


@agent
async def asks(given: int, run: Run) -> str:
    await run.step(fetch, retry=RETRY)
    await run.wait_for("go")
    return await run.llm("Say {0}", given, retry=RETRY)


class Hooks(RunHooks):
    """Passes decisions on to the metrics, as a worker does."""

    def __init__(self, metrics: RunMetrics) -> None:
        self.metrics = metrics

    def decided(self, live: ActiveRun, decision: Decision) -> None:
        self.metrics.decided(live, decision)

    def found(self, live: ActiveRun, entries: Iterable[Entry]) -> None:
        self.metrics.found(live, entries)


class Room:
    """A run manager over one assignment; the test commits and ends attempts."""

    def __init__(self, folder: Path, hooks: RunHooks | None = None, traceparent: str | None = None) -> None:
        self.now = 1_000_000
        self.owned = owned_assignment(folder)
        self.journal = JournalStore(Codec(FileRegistry()))
        self.open: list[CommitUnit] = []
        self.performed: list[Perform] = []
        self.metrics = RunMetrics()
        self.metrics.begin(self.owned)
        self.registry = CollectorRegistry()
        self.registry.register(self.metrics)
        self.writer = RecordWriter(Names(), Codec(FileRegistry()), events(), "default")
        self.manager = RunManager(
            agents={"asks": asks},
            pool="default",
            journal=self.journal,
            writer=self.writer,
            committer=cast("Any", self),
            effects=cast("Any", self),
            timers=cast("Any", SimpleNamespace(settle=_nothing, add=_nothing)),
            refusals={},
            hooks=hooks or Hooks(self.metrics),
        )
        self.live = self.manager.create(self.owned, "one", asks)
        self.send(Submit(RunSubmitted(run_id="one", agent="asks", input=7, traceparent=traceparent)))

    def send(self, message: Any) -> None:
        self.manager.send_message(self.live, message)

    # the committer and the effects

    def add(self, unit: CommitUnit) -> None:
        unit.sealed = True
        self.open.append(unit)

    def proven(self) -> bool:
        return True

    def start(self, _spender: object, perform: Perform, _done: object, _partition: int) -> Future[None]:
        self.performed.append(perform)
        return Future()

    # what the test does

    def commit(self) -> None:
        while self.open:
            unit = self.open.pop(0)
            assert self.owned.db is not None
            self.owned.db.apply(unit.writes, [])
            unit.settle(committed=True)
            for callback in unit.on_commit:
                callback()
            unit.release()

    def done(self, **given: Any) -> None:
        perform = self.performed.pop()
        given = {"started_ms": self.now, "finished_ms": self.now + 250, **given}
        self.send(EffectDone(perform.path, perform.resume, perform.attempt, **given))
        self.commit()

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def waiting(self) -> dict[str, float]:
        found = next(one for one in self.metrics.collect() if one.name == "streams_runs_waiting")
        return {one.labels["reason"]: one.value for one in found.samples if one.value}


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    made: list[Room] = []
    monkeypatch.setattr(clock, "now_ms", lambda: made[0].now if made else 1_000_000)
    made.append(Room(tmp_path))
    return made[0]


def test_a_run_is_counted_when_its_decision_is_committed(room: Room) -> None:
    room.commit()
    assert room.waiting() == {"queued": 1}
    room.now += 2_000
    room.send(Start())
    assert room.value("streams_runs_started_total", agent="asks") is None  # not committed yet
    room.commit()
    assert room.value("streams_runs_started_total", agent="asks") == 1
    assert room.value("streams_run_queue_seconds_sum", agent="asks") == 2.0
    assert room.waiting() == {}


def test_attempts_calls_and_the_end(room: Room) -> None:
    room.commit()
    room.send(Start())
    room.commit()
    room.done(error=ErrorInfo("ValueError", "no"))
    assert room.waiting() == {"retry": 1}
    assert room.value("streams_step_retries_total", agent="asks", kind="step") == 1
    due = room.live.machine.journal.view.next_attempt_ms
    assert due is not None
    room.now = due
    room.send(TimerFired(next(iter(room.live.machine.journal.view.retrying)), due))
    room.commit()
    room.done(value=1)
    assert room.value("streams_step_duration_seconds_sum", agent="asks", kind="step") == 0.25
    assert room.waiting() == {"signal": 1}
    room.send(SignalArrived("s", "go"))
    room.commit()
    call = CallRecorded(
        hash="h",
        run_id="one",
        kind="llm",
        name="small",
        answer="7",
        usage={"input_tokens": 10, "output_tokens": 2, "cost_usd": 0.5},
        started_ms=1,
        finished_ms=2,
    )
    room.now += 10_000
    room.done(value="7", encoded=True, calls=[call])
    assert room.value("streams_model_calls_total", agent="asks", model="small", outcome="ok") == 1
    assert room.value("streams_model_tokens_total", agent="asks", model="small", kind="input") == 10
    assert room.value("streams_model_tokens_total", agent="asks", model="small", kind="output") == 2
    assert room.value("streams_model_cost_usd_total", agent="asks", model="small") == 0.5
    assert room.value("streams_runs_ended_total", agent="asks", outcome="succeeded") == 1
    assert room.value("streams_run_duration_seconds_count", agent="asks") == 1
    assert room.value("streams_run_duration_seconds_bucket", agent="asks", le="10.0") == 0
    assert room.waiting() == {}


def test_a_run_that_left_memory_is_still_counted_once(room: Room) -> None:
    room.commit()
    room.send(Start())
    room.commit()
    room.done(value=1)
    assert room.waiting() == {"signal": 1}
    room.manager.discard(room.live)
    found = room.manager.find(room.owned, "one")
    assert found is not None
    room.live = found
    assert room.waiting() == {"signal": 1}
    room.send(SignalArrived("s", "go"))
    room.commit()
    assert room.waiting() == {}


def test_the_next_owner_counts_anew_and_the_last_one_no_more(room: Room) -> None:
    room.commit()
    view = fold(room.journal.entries(room.owned, "one"))
    successor = RunMetrics()
    successor.begin(room.owned)
    successor.restored(room.owned, view.agent, view.waits_for())
    for callback in room.owned.on_death[:1]:
        callback()
    assert room.waiting() == {}
    found = next(one for one in successor.collect() if one.name == "streams_runs_waiting")
    assert [(one.labels, one.value) for one in found.samples] == [({"agent": "asks", "reason": "queued"}, 1)]


def test_models_that_are_too_many_share_a_label(room: Room) -> None:
    calls = [
        CallRecorded(hash="h", kind="llm", name=f"model-{number}", started_ms=1, finished_ms=2) for number in range(150)
    ]
    unit = CommitUnit(room.owned)
    room.live.last = unit
    room.metrics.decided(room.live, Decision(outputs=[_output(call) for call in calls]))
    for callback in unit.on_commit:
        callback()
    assert room.value("streams_model_calls_total", agent="asks", model="other", outcome="ok") == 50


def _nothing(*_: object, **__: object) -> None:
    return


def _output(call: CallRecorded) -> Output:
    return Output("calls", call, call.hash, call.hash)
