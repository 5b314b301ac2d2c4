"""Where tables and reactions are on the bus, over owners with and without them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.catalogue import events
from schemas.consumer import ConsumersDeclared
from streams.journal.record_writer import RecordWriter
from streams.journal.store_keys import CONSUMER_POSITION, LEDGER
from streams.runtime.assignment import PartitionAssignment
from streams.runtime.commit_unit import CommitUnit
from streams.worker.events.catch_up import CatchUp
from streams.worker.events.consumer_positions import ConsumerPositions
from tests.unit.runtime._fakes import batch_of, owned_assignment
from topics.names import Names

TOPIC = "t.in"


def commit(owned: PartitionAssignment, unit: CommitUnit | None) -> None:
    if unit is None:
        return
    assert owned.db is not None
    owned.db.apply(list(unit.writes), [])
    unit.settle()
    for callback in unit.on_commit:
        callback()


def rows(owned: PartitionAssignment) -> dict[str, str]:
    found = owned.stores[LEDGER].scan_committed(CONSUMER_POSITION)
    return {key.removeprefix(CONSUMER_POSITION).decode(): row.decode() for key, row in found}


def taken_over(owned: PartitionAssignment, applied: int, *consumers: str) -> ConsumerPositions:
    """Be the next owner, whose code has these consumers."""
    owned.sources[TOPIC].applied = applied
    made = ConsumerPositions(consumers, TOPIC)
    commit(owned, made.restored(owned))
    return made


@pytest.fixture
def owned(tmp_path: Path) -> PartitionAssignment:
    return owned_assignment(tmp_path)


def test_a_new_consumer_begins_where_the_partition_is(owned: PartitionAssignment) -> None:
    positions = taken_over(owned, 10, "a")
    assert rows(owned) == {"a": "="}
    assert positions.begin(batch_of(owned, 10, 12)) == {}
    assert ConsumerPositions(["a"], TOPIC).restored(owned) is None, "nothing is written again"


def test_a_consumer_that_an_owner_lacks_is_read_again_by_the_next_that_has_it(owned: PartitionAssignment) -> None:
    taken_over(owned, 10, "a", "b")
    taken_over(owned, 20, "a")
    assert rows(owned) == {"a": "=", "b": "20"}
    taken_over(owned, 25, "a")
    assert rows(owned)["b"] == "20", "it was left behind once"
    positions = taken_over(owned, 30, "a", "b")
    assert positions.late(owned) == ({"b": 20}, 30)
    assert positions.behind() == {"b": 10}
    first = positions.begin(batch_of(owned, 30, 34))
    assert first["b"] > 34, "what is missed comes first"
    assert positions.late(owned) == ({"b": 20}, 35)
    unit = CommitUnit(owned)
    positions.advance(unit, ["b"], 35)
    assert positions.of(owned, "b") == 20, "it counts from the commit on"
    commit(owned, unit)
    assert positions.late(owned) == ({}, 35)
    batch = batch_of(owned, 36, 37)
    assert positions.begin(batch) == {"b": 35}
    commit(owned, batch)
    assert (rows(owned), positions.of(owned, "b")) == ({"a": "=", "b": "="}, None)


def test_who_read_ahead_of_open_batches_skips_what_it_has(owned: PartitionAssignment) -> None:
    """The worker died after the reading was committed and before the batches were."""
    taken_over(owned, 10, "a", "b")
    taken_over(owned, 20, "a")
    positions = taken_over(owned, 25, "a", "b")
    positions.begin(batch_of(owned, 25, 29))
    unit = CommitUnit(owned)
    positions.advance(unit, ["b"], 30)
    commit(owned, unit)
    after = taken_over(owned, 25, "a", "b")
    assert after.late(owned)[0] == {}
    batch = batch_of(owned, 25, 27)
    assert after.begin(batch) == {"b": 30}, "records before 30 are passed by"
    assert after.of(owned, "b") == 30
    assert after.begin(batch_of(owned, 28, 31)) == {"b": 30}
    assert after.of(owned, "b") is None


def test_without_the_consumer_a_reader_ahead_stays_ahead(owned: PartitionAssignment) -> None:
    taken_over(owned, 10, "a")
    unit = CommitUnit(owned)
    unit.put(owned.stores[LEDGER], CONSUMER_POSITION + b"a", b"30")
    commit(owned, unit)
    taken_over(owned, 20)
    assert rows(owned) == {"a": "30"}


def test_a_declared_consumer_begins_where_an_owner_without_it_is(owned: PartitionAssignment) -> None:
    """A deployment is under way: older code goes on with this partition for a while, and what it reads is not lost."""
    positions = taken_over(owned, 10, "a")
    positions.begin(batch_of(owned, 10, 12))
    batch = batch_of(owned, 0, 0, "t.signals")
    positions.take(batch, ConsumersDeclared(consumers=["a", "b"]))
    commit(owned, batch)
    assert rows(owned) == {"a": "=", "b": "13"}
    later = batch_of(owned, 1, 1, "t.signals")
    positions.take(later, ConsumersDeclared(consumers=["b"]))
    assert not later.writes, "it has begun already"
    assert taken_over(owned, 30, "a", "b").late(owned) == ({"b": 13}, 30)


class Declaring:
    """Catches up for owners of four partitions; what it hands over is not committed by itself."""

    def __init__(self, *consumers: str) -> None:
        self.units: list[CommitUnit] = []
        self.codec = Codec(FileRegistry())
        runtime: Any = SimpleNamespace(
            partitions=4,
            committer=SimpleNamespace(add=self.units.append),
            tasks=SimpleNamespace(spawn=lambda coroutine: coroutine.close()),
        )
        writer = RecordWriter(Names(), self.codec, events(), "default")
        positions = ConsumerPositions(consumers, TOPIC)
        self.catch_up = CatchUp(runtime, cast("Any", None), positions, writer, cast("Any", None))

    def sent(self) -> list[tuple[int, list[str]]]:
        """Return partition and names of the declarations in the units."""
        outs = [out for unit in self.units for out in unit.outs if out[0] == "signals"]
        return [
            (number, self.codec.decode(value or b"", ConsumersDeclared).consumers) for _, value, _, number, _ in outs
        ]


def test_new_consumers_are_declared_to_the_other_partitions_once(tmp_path: Path) -> None:
    declaring = Declaring("a", "b")
    for number in (1, 2):
        declaring.catch_up.restored(owned_assignment(tmp_path, number))
    assert declaring.sent() == [(number, ["a", "b"]) for number in (0, 2, 3)]


def test_what_is_known_is_not_declared(owned: PartitionAssignment) -> None:
    taken_over(owned, 10, "a")
    declaring = Declaring("a")
    declaring.catch_up.restored(owned)
    assert declaring.units == []


def test_a_declaration_that_was_not_committed_is_made_again(tmp_path: Path) -> None:
    declaring = Declaring("a")
    first = owned_assignment(tmp_path, 1)
    declaring.catch_up.restored(first)
    for callback in first.on_death:
        callback()
    declaring.units.clear()
    declaring.catch_up.restored(owned_assignment(tmp_path, 2))
    assert [number for number, _ in declaring.sent()] == [0, 1, 3]
