"""Runs whose history was deleted: whatever comes for one is refused, and nothing starts it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from schemas import Event
from schemas.attributes import Attributes
from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.catalogue import events
from schemas.dead import DeadLettered, RedriveRequested
from schemas.key import KeyGranted, KeyReleased
from schemas.parked_event import ParkedEvent
from schemas.run import RunSubmitted
from schemas.signal import CancelRequested, ChildEnded, ForkRequested, ResumeRequested, SignalSent
from streams.engine.entry import EXPIRED, SUBMITTED, Entry
from streams.engine.jsonable import digest, to_json
from streams.engine.view import fold
from streams.journal.journal_store import JournalStore
from streams.journal.parked_record import ParkedRecord
from streams.journal.record_writer import RecordWriter
from streams.runtime.commit_unit import CommitUnit
from streams.worker.runs.intake import RunIntake
from streams.worker.runs.key_gate import KeyGate
from streams.worker.runs.redrive import DeadLetterRedrive
from streams.worker.runs.run_manager import RunManager
from streams.worker.runs.run_timers import RunTimers
from streams.worker.runs.signals import SignalHandler
from tests.apps.pipeline.agents import work
from tests.unit.runtime._fakes import batch_of, owned_assignment
from topics.names import Names

CODEC = Codec(FileRegistry())
INPUT = {"folder": "f", "steps": 2, "seconds": 0.0}
TARGET: dict[str, Any] = {"run_id": "old"}


def raw(attributes: Attributes) -> dict[str, bytes]:
    """Return the headers of a record."""
    return {name: value if isinstance(value, bytes) else str(value).encode() for name, value in attributes.to_headers()}


class Room:
    """A worker's parts over one assignment with an expired run, of which some rows may be left."""

    def __init__(self, folder: Path, *left: str) -> None:
        self.owned = owned_assignment(folder)
        self.store = self.owned.stores["journal"]
        self.journal = JournalStore(CODEC)
        self.writer = RecordWriter(Names(), CODEC, events(), "default")
        self.units: list[CommitUnit] = []
        self.sent: list[tuple[str, Event]] = []
        self.rows: list[tuple[bytes, bytes | None]] = []
        agents: dict[str, Any] = {"work": work}
        self.manager = RunManager(
            agents=agents,
            pool="default",
            journal=self.journal,
            writer=self.writer,
            committer=cast("Any", self),
            effects=cast("Any", None),
            timers=RunTimers(lambda *_: None),
            refusals={},
        )
        key_gate = KeyGate(agents, cast("Any", None), self.manager, self.writer, cast("Any", self))
        intake = RunIntake(work, self.manager, key_gate, self.journal, self.writer, lambda _: None)
        self.signals = SignalHandler(
            self.manager,
            self.writer,
            DeadLetterRedrive({"work": intake}, None, self.manager, self.writer),
            "default",
            key_gate=key_gate,
            handlers={},
        )
        assert self.owned.db is not None
        for seq, path in enumerate((*left, EXPIRED)):
            entry = Entry.from_dict(
                {
                    "run_id": "old",
                    "path": path,
                    "kind": "step",
                    "agent": "work",
                    "digest": digest("work", to_json(INPUT)),
                    "recorded_ms": 1,
                    "seq": seq,
                }
            )
            self.owned.db.apply([(self.store, *self.journal.encode(entry))], [])

    def add(self, unit: CommitUnit) -> None:
        """Be the committer."""
        self.units.append(unit)

    def comes(self, event: Event) -> None:
        """Let a signal come."""
        row = ParkedEvent(
            reaction="",
            lane="",
            event_id="id-1",
            source_topic="signals",
            source_partition=0,
            source_offset=11,
            key=b"old",
            value=CODEC.encode(event),
            headers=raw(Attributes("id-1", event.event_type, "/there", 1)),
        )
        batch = batch_of(self.owned, 11, 11, "t.signals")
        batch.messages[:] = [cast("Any", ParkedRecord(row))]
        self.signals.take(batch)
        self.rows = [(key, value) for _, key, value in batch.writes]
        for topic, value, _, _, headers_ in batch.outs:
            if topic != "t.journal" and value is not None:
                kind = events()[cast("bytes", dict(headers_ or ())["ce_type"]).decode()]
                self.sent.append((topic, CODEC.decode(value, kind)))


@pytest.fixture(params=[(), (SUBMITTED, "step-1", "~end/1")], ids=["marker alone", "rows are being deleted"])
def room(tmp_path: Path, request: pytest.FixtureRequest) -> Room:
    return Room(tmp_path, *request.param)


def test_a_marker_is_a_run_that_has_expired(room: Room) -> None:
    view = fold(room.journal.committed(room.owned, "old"))
    assert (view.status, view.agent, view.reason) == (
        "expired",
        "work",
        "its history was deleted after STREAMS_HISTORY_DAYS",
    )
    assert room.manager.find(room.owned, "old") is None


@pytest.mark.parametrize(
    "event",
    [
        SignalSent(**TARGET, signal_id="s", name="approved", data={}),
        CancelRequested(**TARGET, request_id="c"),
        ResumeRequested(**TARGET, request_id="r"),
        ForkRequested(**TARGET, new_run_id="new", at="1"),
        RedriveRequested(
            **TARGET,
            dead_id="d",
            consumer="work",
            attempt=1,
            source_topic="runs",
            source_partition=0,
            source_offset=1,
        ),
    ],
    ids=lambda event: event.event_type,
)
def test_an_order_to_an_expired_run_is_a_dead_letter_and_starts_nothing(room: Room, event: Event) -> None:
    room.comes(event)
    ((topic, letter),) = room.sent
    assert topic == "dead-letters"
    assert isinstance(letter, DeadLettered)
    assert letter.error_type == "RunExpiredError"
    assert "STREAMS_HISTORY_DAYS" in letter.error
    assert room.units == []
    assert room.manager.live == {}
    assert [key for key, _ in room.rows if key.startswith((b"r/", b"e/"))] == []


def test_a_child_that_ends_after_its_parent_has_expired_is_dropped(room: Room) -> None:
    room.comes(ChildEnded(**TARGET, path="1", child_id="c", ending=1, status="succeeded"))
    assert room.sent == []
    assert room.units == []
    assert room.rows == []


def test_a_lock_that_is_granted_to_an_expired_run_goes_back(room: Room) -> None:
    room.comes(KeyGranted(**TARGET, lock="l", ending=1))
    ((topic, back),) = room.sent
    assert topic == "signals"
    assert isinstance(back, KeyReleased)
    assert (back.lock, back.run_id) == ("l", "old")


@pytest.mark.parametrize("same", [True, False])
def test_a_redriven_submission_finds_the_id_taken(room: Room, same: bool) -> None:
    given = INPUT if same else {**INPUT, "steps": 3}
    submitted = RunSubmitted(run_id="old", agent="work", input=given)
    letter: dict[str, Any] = {
        "dead_id": "d",
        "consumer": "work",
        "attempt": 1,
        "key": b"old",
        "value": CODEC.encode(submitted),
    }
    headers = raw(Attributes("old", "run.submitted", "/there", 1))
    place: dict[str, Any] = {
        "source_topic": "agents.work",
        "source_partition": 0,
        "source_offset": 1,
        "headers": headers,
    }
    room.comes(RedriveRequested(**letter, **place))
    assert [vars(event)["error_type"] for _, event in room.sent] == ([] if same else ["RunConflictError"])
    assert room.manager.live == {}
    assert room.units == []
