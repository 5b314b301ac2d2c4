"""Signals that came before their run: kept whole, joined in log order, dead letters after a day."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from schemas import Event
from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.catalogue import events
from schemas.dead import DeadLettered
from schemas.parked_event import ParkedEvent
from schemas.signal import CancelRequested, ResumeRequested, SignalSent
from streams import clock
from streams.engine.inbound import signal_message
from streams.engine.messages import CancelAsked, Message, SignalArrived
from streams.journal.expiry_index import by_time
from streams.journal.journal_store import JournalStore
from streams.journal.parked_record import ParkedRecord
from streams.journal.record_writer import RecordWriter
from streams.runtime.assignment import PartitionAssignment
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.errors import RecordTooLargeError
from streams.runtime.partition_store import PartitionStore
from streams.worker.runs.early_signals import joined, keep
from streams.worker.runs.ledger_sweep import LedgerSweep
from tests.unit.runtime._fakes import batch_of, owned_assignment
from topics.names import Names

if TYPE_CHECKING:
    from streams.runtime.runtime import Runtime
    from streams.worker.runs.active_run import ActiveRun
    from streams.worker.runs.run_manager import RunManager

HOUR = 3600 * 1000


class Door:
    """An assignment whose units are committed as they come, a desk that notes what it is told, and the sweep."""

    def __init__(self, folder: Path) -> None:
        codec = Codec(FileRegistry())
        self.owned = owned_assignment(folder)
        assert self.owned.db is not None
        index = by_time(codec)
        self.owned.stores["journal"] = PartitionStore(self.owned.db, "journal", "t.journal", 0, index)
        self.writer = RecordWriter(Names(), codec, events(), "default")
        self.told: list[Message] = []
        self.refuses: Exception | None = None
        self.letters: list[DeadLettered] = []
        self.sweep = LedgerSweep(
            cast("Runtime", SimpleNamespace(committer=self, assignments={0: self.owned})),
            JournalStore(codec),
            self.writer,
            dedupe_hours=24,
            history_days=30,
        )

    def send_message(self, _live: object, message: Message, _unit: CommitUnit) -> None:
        """Be the run manager."""
        if self.refuses is not None:
            raise self.refuses
        self.told.append(message)

    def add(self, unit: CommitUnit) -> None:
        """Be the committer."""
        rows = list(unit.writes)
        unit.settle()
        assert self.owned.db is not None
        self.owned.db.apply(rows, [])
        for topic, value, _, _, _ in unit.outs:
            if topic == "dead-letters":
                assert value is not None
                self.letters.append(self.writer.codec.decode(value, DeadLettered))

    def comes(self, event: Event, at: int = 7) -> bool:
        """Let an event come for a run that is not known; return whether it is kept."""
        row = ParkedEvent(
            reaction="",
            lane="",
            event_id="",
            source_topic="signals",
            source_partition=0,
            source_offset=at,
            key=vars(event)["run_id"].encode(),
            value=self.writer.codec.encode(event),
            headers={
                "ce_id": b"x-1",
                "ce_type": event.event_type.encode(),
                "ce_source": b"/here",
                "ce_specversion": b"1.0",
            },
            timestamp_ms=clock.now_ms(),
        )
        batch = batch_of(self.owned, at, at, "t.signals")
        kept = keep(batch, vars(event)["run_id"], signal_message(event), ParkedRecord(row), self.writer)
        self.add(batch)
        return kept

    def submit(self, run_id: str) -> None:
        """Take the run in."""
        batch = batch_of(self.owned, 20, 20)
        joined(batch, cast("ActiveRun", SimpleNamespace(run_id=run_id)), cast("RunManager", self), self.writer)
        self.add(batch)

    def sweeps(self, owned: PartitionAssignment, now_ms: int) -> None:
        """Sweep as at that time."""
        for unit in self.sweep.early(owned, now_ms):
            self.add(unit)

    def left(self) -> list[bytes]:
        return [key for key, _ in self.owned.stores["journal"].scan_committed(b"e/")]


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def signal(run_id: str, id: str, **data: Any) -> SignalSent:
    return SignalSent(run_id=run_id, signal_id=id, name="approved", data=data)


def test_a_run_gets_what_came_before_it_in_the_order_of_the_log(door: Door) -> None:
    door.comes(signal("r", "z", n=1), at=7)
    door.comes(CancelRequested(run_id="r", request_id="a", reason="no"), at=8)
    door.comes(signal("other", "b"), at=9)
    door.submit("r")
    assert door.told == [SignalArrived("z", "approved", {"n": 1}), CancelAsked("a", "no")]
    assert door.left() == [b"e/other", b"e/other/b"]
    door.submit("r")
    assert len(door.told) == 2


def test_only_signals_and_cancels_are_kept(door: Door) -> None:
    assert not door.comes(ResumeRequested(run_id="r", request_id="a"))
    assert door.left() == []


def test_a_signal_whose_run_does_not_come_within_a_day_is_a_dead_letter_with_its_record(door: Door) -> None:
    door.comes(signal("r", "s", n=1), at=7)
    began = clock.now_ms()
    door.sweeps(door.owned, began + 23 * HOUR)
    assert door.letters == []
    door.sweeps(door.owned, began + 25 * HOUR)
    (letter,) = door.letters
    assert (letter.consumer, letter.source_topic, letter.source_offset, letter.key) == ("signals", "signals", 7, b"r")
    assert letter.error_type == "RunNeverCameError"
    assert letter.value is not None
    assert door.writer.codec.decode(letter.value, SignalSent) == signal("r", "s", n=1)
    assert letter.headers["ce_type"] == b"signal.sent"
    assert door.left() == []


def test_equal_failures_of_other_runs_are_one_line(door: Door) -> None:
    for number, name in enumerate(("apple", "pear")):
        door.comes(signal(name, "s"), at=number)
    door.sweeps(door.owned, clock.now_ms() + 25 * HOUR)
    assert len({letter.fingerprint for letter in door.letters}) == 1
    assert len(door.letters) == 2


def test_the_younger_signals_of_a_run_stay(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now_ms()
    door.comes(signal("r", "old"), at=7)
    monkeypatch.setattr(clock, "now_ms", lambda: now + 20 * HOUR)
    door.comes(signal("r", "young"), at=8)
    door.sweeps(door.owned, now + 25 * HOUR)
    assert len(door.letters) == 1
    assert door.left() == [b"e/r", b"e/r/young"]
    door.submit("r")
    assert [message.id for message in door.told if isinstance(message, SignalArrived)] == ["young"]


def test_what_its_run_cannot_take_becomes_a_dead_letter_and_the_run_is_taken_in(door: Door) -> None:
    door.comes(signal("r", "s"))
    door.refuses = RecordTooLargeError("too large")
    door.submit("r")
    assert [letter.error_type for letter in door.letters] == ["RecordTooLargeError"]
    assert door.left() == []
