"""What is forgotten: journals of runs that ended long ago, down to their marker, and ids outside their window."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.catalogue import events
from streams.engine.entry import EXPIRED, SUBMITTED, Entry
from streams.worker.courier import Courier
from streams.worker.journal import Journal
from streams.worker.state.slice import Slice
from streams.worker.state.unit import Unit
from streams.worker.sweep import Sweep
from tests.unit.worker._fakes import owned_slice
from topics.names import Names

if TYPE_CHECKING:
    from streams.worker.runtime import Runtime

HOUR = 3600 * 1000
DAY = 24 * HOUR
NOW = 100 * DAY


class Room:
    """A slice whose units are committed as they come, with a sweep over it."""

    def __init__(self, folder: Path) -> None:
        self.owned = owned_slice(folder)
        self.store = self.owned.stores["journal"]
        codec = Codec(FileRegistry())
        self.journal = Journal(codec)
        self.courier = Courier(Names(), codec, events(), "default")
        self.said: list[str] = []
        self.units: list[Unit] = []
        runtime = SimpleNamespace(committer=self, slices={0: self.owned})
        self.sweep = Sweep(
            cast("Runtime", runtime), self.journal, self.courier, dedupe_hours=24, history_days=30, say=self.said.append
        )

    def add(self, unit: Unit) -> None:
        """Be the committer: what a unit writes is in the store at once."""
        self.units.append(unit)
        rows = [(key, value) for _, key, value in unit.writes]
        unit.settle()
        self._write(rows)

    def put(self, key: bytes, value: bytes) -> None:
        self._write([(key, value)])

    def _write(self, rows: list[tuple[bytes, bytes | None]]) -> None:
        db = self.owned.db
        assert db is not None
        db.apply([(self.store, key, value) for key, value in rows], [])

    def run(self, run_id: str, *paths: str, at: int, **fields: Any) -> None:
        """Write a run's entries, all recorded at one time."""
        for number, path in enumerate(paths):
            kind = {"run_id": run_id, "path": path, "kind": "step", "status": "completed", "seq": number}
            entry = Entry.from_dict({**kind, "agent": "a", "digest": "d1", "recorded_ms": at, **fields})
            self.put(*self.journal.encode(entry))

    def left(self, owned: Slice | None = None) -> list[str]:
        return [key.decode() for key, _ in (owned or self.owned).stores["journal"].scan_committed(b"")]


def test_an_ended_run_is_deleted_after_its_retention_down_to_its_marker(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.run("old", SUBMITTED, "s1", "~end/1", at=NOW - 31 * DAY)
    room.run("young", SUBMITTED, "~end/1", at=NOW - 29 * DAY)
    room.sweep.journals(room.owned, NOW)
    assert room.left() == ["r/old/~expired", "r/young/~end/1", "r/young/~submitted"]
    marker = room.journal.known(room.owned, "old")
    assert marker is not None
    assert (marker.path, marker.digest, marker.agent, marker.recorded_ms) == (EXPIRED, "d1", "a", NOW)


def test_the_marker_is_committed_before_any_row_goes(tmp_path: Path) -> None:
    """A kill in between leaves a run that is known twice, never one that is not known."""
    room = Room(tmp_path)
    room.run("old", SUBMITTED, "~end/1", at=NOW - 31 * DAY)
    room.sweep.journals(room.owned, NOW)
    first = [(key, value is None) for _, key, value in room.units[0].writes]
    assert first == [(b"r/old/~expired", False)]
    assert all(value is None for unit in room.units[1:] for _, _, value in unit.writes)


def test_the_marker_itself_goes_after_another_retention(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.run("old", SUBMITTED, "~end/1", at=NOW - 31 * DAY)
    room.sweep.journals(room.owned, NOW)
    room.sweep.journals(room.owned, NOW + 29 * DAY)
    assert room.left() == ["r/old/~expired"]
    room.sweep.journals(room.owned, NOW + 31 * DAY)
    assert room.left() == []


def test_runs_that_go_on_are_kept_however_old(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.run("waits", SUBMITTED, "~started", "s1", at=0)
    room.run("resumed", SUBMITTED, "~end/1", "~resume/1", at=0)
    before = room.left()
    room.sweep.journals(room.owned, NOW)
    assert room.left() == before
    assert room.units == []


def test_a_sweep_goes_on_where_it_stopped_and_begins_again(tmp_path: Path) -> None:
    room = Room(tmp_path)
    for number in range(250):
        room.run(f"run-{number:03d}", SUBMITTED, "~end/1", at=NOW - 31 * DAY)
    room.sweep.journals(room.owned, NOW)
    assert sum(key.endswith("~submitted") for key in room.left()) == 50
    room.sweep.journals(room.owned, NOW)
    assert sum(key.endswith("~submitted") for key in room.left()) == 0
    room.run("run-000b", SUBMITTED, "~end/1", at=NOW - 31 * DAY)
    room.sweep.journals(room.owned, NOW)
    assert "r/run-000b/~expired" in room.left()


def test_outside_ids_are_deleted_after_their_window(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.put(b"d/old", str(NOW - 25 * HOUR).encode())
    room.put(b"d/young", str(NOW - 23 * HOUR).encode())
    room.sweep.ids(room.owned, NOW)
    assert room.left() == ["d/young"]


def test_a_refused_forks_history_goes_after_the_retention(tmp_path: Path) -> None:
    """Until then its submission may be redriven; the parts of another one that still waits stay."""
    room = Room(tmp_path)
    for name, since in (("old", NOW - 31 * DAY), ("young", NOW - 29 * DAY)):
        room.put(f"fw/{name}".encode(), b"%d" % since)
        for number in range(12):
            room.put(f"f/{name}/{number}".encode(), b"part")
    room.sweep.histories(room.owned, NOW)
    assert room.left() == [*sorted(f"f/young/{number}" for number in range(12)), "fw/young"]


def test_redrives_are_remembered_as_long_as_histories(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.put(b"x/old/1", b"%d" % (NOW - 31 * DAY))
    room.put(b"x/young/1", b"%d" % (NOW - 29 * DAY))
    room.sweep.ids(room.owned, NOW)
    assert room.left() == ["x/young/1"]
