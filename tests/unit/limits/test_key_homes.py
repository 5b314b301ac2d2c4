"""The home of locks: each word is one unit of rows and grants, and a new home goes on from the rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.catalogue import events
from schemas.key import KeyGranted, KeyReleased, KeyWanted
from streams.journal.record_writer import RecordWriter
from streams.limits.key_homes import KeyHomes
from streams.runtime.assignment import PartitionAssignment
from streams.runtime.commit_unit import CommitUnit
from tests.unit.runtime._fakes import batch_of, owned_assignment
from topics.names import Names

if TYPE_CHECKING:
    from streams.runtime.committer import Committer

CODEC = Codec(FileRegistry())
LOCK = "pay/acme"


class Home:
    """A home whose units are committed as they come."""

    def __init__(self, owned: PartitionAssignment, *agents: str) -> None:
        self.owned = owned
        self.units: list[CommitUnit] = []
        writer = RecordWriter(Names(""), CODEC, events(), "default")
        self.homes = KeyHomes(agents or ("pay",), writer, cast("Committer", self), "default")
        self.homes.restored(owned)

    def add(self, unit: CommitUnit) -> None:
        """Be the committer."""
        db = self.owned.db
        assert db is not None
        self.units.append(unit)
        db.apply(list(unit.writes), [])
        unit.settle()

    def say(self, *said: KeyWanted | KeyReleased) -> list[KeyGranted]:
        """Take words in as one batch and return what is granted."""
        batch = batch_of(self.owned, 1, 2, "t.signals")
        for event in said:
            self.homes.take(batch, event)
        self.add(batch)
        return granted(batch)

    def rows(self) -> int:
        return len(list(self.owned.stores["journal"].scan_committed(b"k/")))


def granted(unit: CommitUnit) -> list[KeyGranted]:
    return [CODEC.decode(value or b"", KeyGranted) for topic, value, _, _, _ in unit.outs if topic == "signals"]


def wants(run_id: str, rank: int = 0) -> KeyWanted:
    return KeyWanted(lock=LOCK, run_id=run_id, root=run_id, rank=rank)


def test_a_lock_goes_from_hand_to_hand_and_leaves_no_row(tmp_path: Path) -> None:
    home = Home(owned_assignment(tmp_path))
    assert [one.run_id for one in home.say(wants("a"), wants("b", 2), wants("c", 1))] == ["a"]
    assert (home.rows(), home.homes.waiting()) == (3, 2)
    for run_id, following in (("a", ["c"]), ("c", ["b"]), ("b", [])):
        given = home.say(KeyReleased(lock=LOCK, run_id=run_id, ending=1))
        assert [one.run_id for one in given] == following
    assert (home.rows(), home.homes.waiting()) == (0, 0)


def test_a_new_home_finds_who_holds_and_waits_and_tells_holders_again(tmp_path: Path) -> None:
    owned = owned_assignment(tmp_path)
    Home(owned).say(wants("a"), wants("b"))
    moved = Home(owned)
    assert [one.run_id for unit in moved.units for one in granted(unit)] == ["a"]
    assert moved.say(wants("c")) == []
    assert [one.run_id for one in moved.say(KeyReleased(lock=LOCK, run_id="a", ending=1))] == ["b"]


def test_holders_of_an_agent_that_this_code_does_not_have_are_left_alone(tmp_path: Path) -> None:
    owned = owned_assignment(tmp_path)
    Home(owned).say(wants("a"))
    moved = Home(owned, "other")
    assert (moved.units, moved.rows()) == ([], 1)
