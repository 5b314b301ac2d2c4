"""What is forgotten: journals of runs that ended long ago, down to their marker, and ids outside their window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.catalogue import events
from schemas.journal import JournalEntry
from streams.engine.entry import EXPIRED, SUBMITTED, Entry
from streams.engine.view import fold
from streams.journal.expiry_index import by_time
from streams.journal.journal_store import JournalStore, recorded_ms_of
from streams.journal.record_writer import RecordWriter
from streams.runtime.assignment import PartitionAssignment
from streams.runtime.commit_unit import CommitUnit, Write
from streams.runtime.partition_store import PartitionStore
from streams.worker.runs.ledger_sweep import LedgerSweep
from tests.unit.runtime._fakes import owned_assignment
from topics.catalogue import catalogue
from topics.names import Names

if TYPE_CHECKING:
    from streams.runtime.runtime import Runtime

HOUR = 3600 * 1000
DAY = 24 * HOUR
NOW = 100 * DAY


class Room:
    """An assignment whose units are committed as they come, with a sweep over it."""

    def __init__(self, folder: Path, history_days: float = 30) -> None:
        codec = Codec(FileRegistry())
        self.journal = JournalStore(codec)
        self.owned = owned_assignment(folder)
        assert self.owned.db is not None
        self.store = PartitionStore(self.owned.db, "journal", "t.journal", 0, by_time(codec))
        self.owned.stores["journal"] = self.store
        self.writer = RecordWriter(Names(), codec, events(), "default")
        self.units: list[CommitUnit] = []
        self.sizes: list[list[Write]] = []
        self.sent: list[tuple[str, bytes | None, bytes | None]] = []
        self.memory: set[str] = set()
        self.read = 0
        runtime = SimpleNamespace(committer=self, assignments={0: self.owned})
        self.sweep = LedgerSweep(
            cast("Runtime", runtime),
            self.journal,
            self.writer,
            dedupe_hours=24,
            history_days=history_days,
            in_memory=lambda _owned, run_id: run_id in self.memory,
            read_ms=lambda _owned: self.read,
        )

    def add(self, unit: CommitUnit) -> None:
        """Be the committer: what a unit writes is in the store at once."""
        self.units.append(unit)
        unit.sealed = True
        rows = list(unit.writes)
        self.sizes.append(rows)
        self.sent += [(topic, value, key) for topic, value, key, *_ in unit.outs if topic == "runs"]
        unit.settle()
        self._write(rows)
        for callback in unit.on_commit:
            callback()

    def put(self, key: bytes, value: bytes) -> None:
        self._write([(self.store, key, value)])

    def _write(self, rows: list[Write]) -> None:
        assert self.owned.db is not None
        self.owned.db.apply(rows, [])

    def commit(self, units: Iterator[CommitUnit]) -> None:
        """Commit units one after the other, as the sweep does."""
        for unit in units:
            self.add(unit)

    def run(self, run_id: str, *paths: str, at: int, **fields: Any) -> None:
        """Write a run's entries, all recorded at one time."""
        for number, path in enumerate(paths):
            kind = {"run_id": run_id, "path": path, "kind": "step", "status": "completed", "seq": number}
            entry = Entry.from_dict({**kind, "agent": "a", "digest": "d1", "recorded_ms": at, **fields})
            self.put(*self.journal.encode(entry))

    def renew(self) -> None:
        """Begin anew with what is committed, as after a crash and a restore from the changelog."""
        assert self.owned.db is not None
        self.store = self.store.clean()
        self.owned.stores["journal"] = self.store
        self.owned.db.index(self.store)

    def hints(self) -> list[tuple[bytes, bytes]]:
        """Return kind and key of each entry of the index."""
        found = [at for at, _ in self.store.entries.scan_committed()]
        cuts = [at.index(b"/") + 1 for at in found]
        return [(at[:cut], at[cut + 8 :]) for at, cut in zip(found, cuts, strict=True)]

    def left(self, owned: PartitionAssignment | None = None) -> list[str]:
        return [key.decode() for key, _ in (owned or self.owned).stores["journal"].scan_committed(b"")]


def test_an_ended_run_is_deleted_after_its_retention_down_to_its_marker(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.run("old", SUBMITTED, "s1", "~end/1", at=NOW - 31 * DAY)
    room.run("young", SUBMITTED, "~end/1", at=NOW - 29 * DAY)
    room.commit(room.sweep.journals(room.owned, NOW))
    assert room.left() == ["r/old/~expired", "r/young/~end/1", "r/young/~submitted"]
    marker = room.journal.known(room.owned, "old")
    assert marker is not None
    assert (marker.path, marker.digest, marker.agent, marker.recorded_ms) == (EXPIRED, "d1", "a", NOW)


def test_the_marker_comes_with_the_first_row_that_goes_and_the_ends_go_last(tmp_path: Path) -> None:
    """Whatever a crash in between leaves is known to be expired, and is found again."""
    room = Room(tmp_path)
    room.run("old", SUBMITTED, *(f"step-{number}" for number in range(2500)), "~end/1", at=NOW - 31 * DAY)
    units = room.sweep.journals(room.owned, NOW)
    room.add(next(units))
    assert room.journal.is_expired(room.owned, "old")
    assert "r/old/~end/1" in room.left()
    assert 500 < len(room.left()) < 2000, "the worker dies here"
    rows = room.left()
    assert fold(room.journal.committed(room.owned, "old")).status == "expired"
    room.renew()
    assert room.left() == rows
    room.commit(room.sweep.journals(room.owned, NOW + DAY))
    assert room.left() == ["r/old/~expired"]
    marker = room.journal.known(room.owned, "old")
    assert marker is not None
    assert marker.recorded_ms == NOW
    assert room.hints() == [(b"m/", b"r/old/~expired")]


def test_a_run_of_many_rows_is_deleted_in_pieces(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.run("old", SUBMITTED, *(f"step-{number}" for number in range(2500)), "~end/1", at=NOW - 31 * DAY)
    room.commit(room.sweep.journals(room.owned, NOW))
    assert max(len(unit) for unit in room.sizes) <= 1001
    assert room.left() == ["r/old/~expired"]


def test_a_marker_outlives_all_records_that_can_bring_its_run_back(tmp_path: Path) -> None:
    """A submission waits in its queue, then as a dead letter, then as a redrive among the signals."""
    topics = catalogue(agents=[("a", "default")])
    longest = {kind: max(topic.retention_ms or 0 for topic in topics if topic.kind == kind) for kind in ("queue",)}
    letters = next(topic.retention_ms for topic in topics if topic.name == "dead-letters")
    assert letters is not None
    way = longest["queue"] + letters + longest["queue"]
    for days in (0.001, 90):
        room = Room(tmp_path / str(days), history_days=days)
        room.run("old", SUBMITTED, "~end/1", at=NOW - 91 * DAY)
        room.commit(room.sweep.journals(room.owned, NOW))
        kept = max(way, int(days * DAY))
        room.commit(room.sweep.markers(room.owned, NOW + kept))
        assert room.left() == ["r/old/~expired"]
        room.commit(room.sweep.markers(room.owned, NOW + kept + 1))
        assert room.left() == []
        assert room.hints() == []


def test_a_marker_stays_while_anything_else_of_its_run_does(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.run("old", "step", EXPIRED, at=0, status="expired")
    room.commit(room.sweep.markers(room.owned, NOW))
    assert room.left() == ["r/old/step/0", "r/old/~expired"]


def test_the_records_of_an_expired_run_leave_the_topic_of_runs(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.run("old", SUBMITTED, "~end/1", at=NOW - 31 * DAY)
    room.commit(room.sweep.journals(room.owned, NOW))
    assert room.sent == [("runs", None, b"old")]


def test_a_run_that_was_resumed_after_its_end_expires_after_its_last_end(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.run("r", SUBMITTED, "~end/1", at=NOW - 60 * DAY)
    room.run("r", "~resume/1", at=NOW - 59 * DAY)
    room.commit(room.sweep.journals(room.owned, NOW))
    assert not room.journal.is_expired(room.owned, "r")
    room.run("r", "~end/2", at=NOW - 20 * DAY, attempt=2)
    room.commit(room.sweep.journals(room.owned, NOW))
    assert not room.journal.is_expired(room.owned, "r")
    room.commit(room.sweep.journals(room.owned, NOW + 11 * DAY))
    assert room.left() == ["r/r/~expired"]
    assert [key for kind, key in room.hints() if kind == b"r/"] == []


def test_a_run_that_is_in_memory_or_about_to_change_is_left_alone(tmp_path: Path) -> None:
    room = Room(tmp_path)
    for name in ("memory", "resumed"):
        room.run(name, SUBMITTED, "~end/1", at=NOW - 60 * DAY)
    room.memory.add("memory")
    batch = CommitUnit(room.owned)
    resume = {"run_id": "resumed", "path": "~resume/1", "kind": "resume", "agent": "a", "recorded_ms": NOW}
    room.journal.write(batch, Entry.from_dict(resume))
    room.commit(room.sweep.journals(room.owned, NOW))
    assert not room.journal.is_expired(room.owned, "memory")
    assert not room.journal.is_expired(room.owned, "resumed")
    room.add(batch)
    room.memory.clear()
    room.commit(room.sweep.journals(room.owned, NOW))
    assert room.journal.is_expired(room.owned, "memory")
    assert not room.journal.is_expired(room.owned, "resumed")


def test_a_failed_run_that_will_resume_itself_is_kept_until_then(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.run("r", SUBMITTED, "~end/1", at=NOW - 60 * DAY, due_ms=NOW + DAY)
    room.commit(room.sweep.journals(room.owned, NOW))
    assert not room.journal.is_expired(room.owned, "r")
    room.commit(room.sweep.journals(room.owned, NOW + 32 * DAY))
    assert room.journal.is_expired(room.owned, "r"), "nobody has resumed it"


@pytest.mark.parametrize("partitions_rate", [1085 // 4 + 1])
async def test_rows_reach_a_steady_state_at_the_advertised_rate(tmp_path: Path, partitions_rate: int) -> None:
    """1,085 runs a second over four partitions; the rows of one stop growing once the retention is full."""
    period_s, retained = 10, 3
    room = Room(tmp_path, history_days=period_s * retained / (24 * 3600))
    counts = []
    for turn in range(8):
        now = NOW + turn * period_s * 1000
        rows: list[Write] = []
        for number in range(partitions_rate * period_s):
            run_id = f"{turn}-{number}"
            for seq, path in enumerate((SUBMITTED, "step", "~end/1")):
                fields = {"run_id": run_id, "path": path, "kind": "step", "seq": seq, "agent": "a", "recorded_ms": now}
                rows.append((room.store, *room.journal.encode(Entry.from_dict(fields))))
        room._write(rows)
        await room.sweep.sweep(room.owned, now)
        left = room.left()
        counts.append((sum(not key.endswith(EXPIRED) for key in left), sum(key.endswith(EXPIRED) for key in left)))
    rows_of = [rows for rows, _ in counts]
    assert rows_of[-1] == rows_of[-2] == rows_of[retained] == 3 * partitions_rate * period_s * (retained + 1)
    assert counts[-1][1] == partitions_rate * period_s * (8 - retained - 1), "markers go after their own time"


@pytest.mark.parametrize("ms", [1, 63, 64, 8191, 1_764_000_000_000, 4_102_444_800_000])
def test_the_time_of_an_entry_is_read_without_the_rest(ms: int) -> None:
    """It is the last field of an entry and follows an integer, whatever other fields there are."""
    assert list(JournalEntry.model_fields)[-2:] == ["version", "recorded_ms"]
    entry = Entry.from_dict({"run_id": "r", "path": "~end/1", "kind": "end", "version": 300, "recorded_ms": ms})
    _, row = JournalStore(Codec(FileRegistry())).encode(entry)
    assert recorded_ms_of(row) == ms


def test_the_index_is_made_again_for_a_store_that_had_none(tmp_path: Path) -> None:
    room = Room(tmp_path)
    db = room.owned.db
    assert db is not None
    plain = PartitionStore(db, "journal", "t.journal", 0)
    kept = {b"d/a": b"5", b"x/l/1": b"6", b"fw/f": b"7", b"c/x": b"1 2", b"o/t": b"9"}
    db.apply([(plain, key, row) for key, row in kept.items()], [])
    assert room.hints() == []
    assert not db.indexed(room.store)
    db.index(room.store)
    assert room.hints() == [(b"d/", b"d/a"), (b"fw/", b"fw/f"), (b"x/", b"x/l/1")]
    assert db.indexed(room.store)


def test_runs_that_go_on_are_kept_however_old(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.run("waits", SUBMITTED, "~started", "s1", at=0)
    room.run("resumed", SUBMITTED, "~end/1", "~resume/1", at=0)
    before = room.left()
    room.commit(room.sweep.journals(room.owned, NOW))
    assert room.left() == before


async def test_a_sweep_catches_up_and_waits_for_each_piece(tmp_path: Path) -> None:
    room = Room(tmp_path)
    for number in range(2250):
        room.put(f"d/{number}".encode(), str(NOW - 9 * DAY).encode())
    for number in range(700):
        room.run(f"run-{number:03d}", SUBMITTED, "~end/1", at=NOW - 31 * DAY)
    await room.sweep.sweep(room.owned, NOW)
    assert [key for key in room.left() if not key.endswith(EXPIRED)] == []
    assert len(room.sizes) > 5
    assert room.sweep.forgotten == 2250 + 1400


def test_outside_ids_are_deleted_after_their_window(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.read = NOW
    room.put(b"d/old", str(NOW - 25 * HOUR).encode())
    room.put(b"d/young", str(NOW - 23 * HOUR).encode())
    room.commit(room.sweep.ids(room.owned, NOW))
    assert room.left() == ["d/young"]


def test_the_window_of_an_id_counts_in_the_time_of_the_log(tmp_path: Path) -> None:
    """A repeat that was sent within the window and is read days later, after an outage, finds the id."""
    room = Room(tmp_path)
    room.put(b"d/before-the-outage", str(NOW - 5 * DAY).encode())
    room.read = NOW - 5 * DAY + HOUR
    room.commit(room.sweep.ids(room.owned, NOW))
    assert room.left() == ["d/before-the-outage"]
    room.read = 0  # a worker that has just started
    room.commit(room.sweep.ids(room.owned, NOW))
    assert room.left() == ["d/before-the-outage"]
    room.commit(room.sweep.ids(room.owned, NOW + 4 * DAY))
    assert room.left() == [], "what is older than the bus keeps records cannot be repeated by it"


def test_an_id_that_came_again_is_kept_for_another_window(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.read = NOW
    room.put(b"d/again", str(NOW - 25 * HOUR).encode())
    room.put(b"d/again", str(NOW - HOUR).encode())
    room.commit(room.sweep.ids(room.owned, NOW))
    assert room.left() == ["d/again"]
    assert len(room.hints()) == 1


def test_a_refused_forks_history_goes_after_the_retention(tmp_path: Path) -> None:
    """Until then its submission may be redriven; the parts of another one that still waits stay."""
    room = Room(tmp_path)
    for name, since in (("old", NOW - 31 * DAY), ("young", NOW - 29 * DAY)):
        room.put(f"fw/{name}".encode(), b"%d" % since)
        for number in range(12):
            room.put(f"f/{name}/{number}".encode(), b"part")
    room.commit(room.sweep.histories(room.owned, NOW))
    assert room.left() == [*sorted(f"f/young/{number}" for number in range(12)), "fw/young"]


def test_redrives_are_remembered_as_long_as_ids_of_runs(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.put(b"x/old/1", b"%d" % (NOW - 43 * DAY))
    room.put(b"x/young/1", b"%d" % (NOW - 41 * DAY))
    room.commit(room.sweep.ids(room.owned, NOW))
    assert room.left() == ["x/young/1"]
