"""Where tables and reactions are on the bus, over owners with and without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.journal.store_keys import CONSUMER_POSITION, LEDGER
from streams.runtime.assignment import PartitionAssignment
from streams.runtime.commit_unit import CommitUnit
from streams.worker.events.consumer_positions import ConsumerPositions
from tests.unit.runtime._fakes import batch_of, owned_assignment

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
