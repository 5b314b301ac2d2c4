"""A log with a few runs, calls, steps, dead letters and ticks."""

from __future__ import annotations

import pytest

from schemas.bus import NewDataArrived
from schemas.call import CallRecorded
from schemas.dead import DeadDiscarded, DeadLettered
from schemas.journal import JournalEntry
from schemas.run import RunFailed, RunStarted, RunSucceeded
from schemas.tick import Ticked
from streams.query.sql import scan
from tests.unit.query.sql._log import START, MemoryLog


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> MemoryLog:
    made = MemoryLog()
    monkeypatch.setattr(scan, "read", made.read)
    monkeypatch.setattr(scan, "offsets", made.offsets)
    fill(made)
    return made


def fill(log: MemoryLog) -> None:
    for number in range(10):
        event = NewDataArrived.model_validate({"source": f"n{number}", "data": {"number": number}})
        log.write("events", event, key=f"k{number}", at=START + number * 1000)
    log.raw("events", b"foreign", b"not avro", [], START)
    for number in range(4):
        run, agent = f"r{number}", "triage" if number % 2 else "research"
        log.write("runs", RunStarted(run_id=run, agent=agent, started_ms=START), at=START)
        usage = {"input_tokens": 10, "output_tokens": 5, "cost_usd": 0.5}
        ended: RunSucceeded | RunFailed = RunSucceeded(run_id=run, agent=agent, ending=1, result={"x": 1}, usage=usage)
        if number == 3:
            ended = RunFailed(run_id=run, agent=agent, ending=1, error={"type": "Oops"}, failed_path="0")
        log.write("runs", ended, at=START + 2000)
        call = CallRecorded(
            hash=f"h{number}", run_id=run, kind="llm", name="m", usage=usage, started_ms=START, finished_ms=START + 250
        )
        log.write("calls", call, at=START + 1000)
        for status in ("scheduled", "completed"):
            entry = JournalEntry(run_id=run, path="0", seq=1, kind="step", name="look_up", status=status)
            log.write("journal.default", entry, key=f"r/{run}/0", at=START + 500)
        log.raw("journal.default", f"b/{run}".encode(), b"{}", [], START)
        log.raw("journal.default", f"r/{run}/0".encode(), None, [], START)
    for number in range(2):
        place = {"source_topic": "events", "source_partition": 0, "source_offset": 1, "consumer": "c", "error": "x"}
        log.write("dead-letters", DeadLettered.model_validate({"dead_id": f"d{number}", **place}))
    log.write("dead-letters", DeadDiscarded(dead_id="d1"))
    log.write("ticks", Ticked(schedule="daily", slot_ms=START))
