"""Units and batches: what may be written, read back before its commit, taken back, grown, and how much."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.runtime.batch import GROW_LIMIT
from streams.runtime.commit_unit import MAX_RECORD_BYTES, CommitUnit
from streams.runtime.errors import OverlayConflictError, RecordTooLargeError, UnitTooLargeError
from streams.runtime.record import weight_of
from tests.unit.runtime._fakes import COUNTS, Message, batch_of, owned_assignment


def test_a_write_is_read_back_before_its_commit_but_not_by_queries(tmp_path: Path) -> None:
    one = owned_assignment(tmp_path)
    store, unit = one.stores[COUNTS], CommitUnit(one)
    unit.put(store, b"k", b"1")
    assert (store.get(b"k"), store.committed(b"k")) == (b"1", None)
    unit.put(store, b"k", None)
    assert store.get(b"k") is None
    assert store.committed(b"k") is None


def test_of_several_writes_of_a_row_in_a_unit_the_last_one_is_logged_where_the_first_stood(tmp_path: Path) -> None:
    one = owned_assignment(tmp_path)
    store, unit = one.stores[COUNTS], CommitUnit(one)
    for number in range(3):
        unit.put(store, b"k", b"%d" % number)
        unit.send("t.out", b"%d" % number, b"k")
    unit.put(store, b"other", b"row")
    unit.put(store, b"k", None)
    assert [(out[0], out[1], out[2], out[3]) for out in unit.outs] == [
        ("t.counts", None, b"k", 0),
        ("t.out", b"0", b"k", -1),
        ("t.out", b"1", b"k", -1),
        ("t.out", b"2", b"k", -1),
        ("t.counts", b"row", b"other", 0),
    ]
    assert unit.writes == [(store, b"k", None), (store, b"other", b"row")]
    assert unit.size == sum(len(out[1] or b"") + len(out[2] or b"") for out in unit.outs)
    assert store.get(b"k") is None
    unit.settle()
    assert store.dirty == {}


def test_two_open_units_never_write_one_key(tmp_path: Path) -> None:
    """The second could overtake the first in the changelog."""
    one = owned_assignment(tmp_path)
    store, first, second = one.stores[COUNTS], CommitUnit(one), CommitUnit(one)
    first.put(store, b"k", b"1")
    with pytest.raises(OverlayConflictError):
        second.put(store, b"k", b"2")
    second.put(store, b"other", b"2")
    first.sealed = True
    second.put(store, b"k", b"2")
    assert store.get(b"k") == b"2"


def test_settling_takes_only_ones_own_rows_from_the_overlay(tmp_path: Path) -> None:
    one = owned_assignment(tmp_path)
    store, first, second = one.stores[COUNTS], CommitUnit(one), CommitUnit(one)
    first.put(store, b"k", b"1")
    first.sealed = True
    second.put(store, b"k", b"2")
    first.settle()
    assert store.get(b"k") == b"2"
    second.settle()
    assert store.get(b"k") is None


def test_a_record_that_its_topic_would_refuse_is_refused_where_it_is_sent(tmp_path: Path) -> None:
    unit = CommitUnit(owned_assignment(tmp_path))
    unit.send("t", b"x" * (MAX_RECORD_BYTES - 1), b"k")
    with pytest.raises(RecordTooLargeError, match="reference"):
        unit.send("t", b"x" * MAX_RECORD_BYTES, b"k")
    unit.send("t", b"x" * MAX_RECORD_BYTES, b"k", limit=2 * MAX_RECORD_BYTES)
    assert len(unit.outs) == 2


def test_a_unit_is_bounded(tmp_path: Path) -> None:
    unit = CommitUnit(owned_assignment(tmp_path))
    for _ in range(CommitUnit.LIMIT // 900_000):
        unit.send("t", b"x" * 900_000)
    with pytest.raises(UnitTooLargeError, match="smaller"):
        unit.send("t", b"x" * 900_000)


def test_records_can_be_taken_back_to_a_mark(tmp_path: Path) -> None:
    unit = CommitUnit(owned_assignment(tmp_path))
    unit.send("t", b"kept")
    mark = unit.mark()
    unit.send("t", b"taken back")
    unit.rollback(mark)
    assert ([out[1] for out in unit.outs], unit.size) == ([b"kept"], 4)


def test_a_batch_grows_until_somebody_begins_it(tmp_path: Path) -> None:
    batch = batch_of(owned_assignment(tmp_path), 0, 4)
    batch.started = False
    assert batch.grow([Message(5)])  # type: ignore[list-item]
    assert (batch.next, batch.weight()) == (6, weight_of(batch.messages))
    assert batch.weight() > 6 * 100
    batch.started = True
    assert not batch.grow([Message(6)])  # type: ignore[list-item]


def test_a_batch_does_not_grow_without_end(tmp_path: Path) -> None:
    batch = batch_of(owned_assignment(tmp_path), 0, GROW_LIMIT - 1)
    batch.started = False
    assert not batch.grow([Message(GROW_LIMIT)])  # type: ignore[list-item]


def test_a_batch_is_finished_when_all_its_agents_are(tmp_path: Path) -> None:
    batch = batch_of(owned_assignment(tmp_path), 0, 4)
    finished: list[bool] = []
    batch.finish = lambda done: finished.append(done.sealed)
    batch.open = 2
    batch.done()
    assert finished == []
    batch.done()
    assert finished == [True]
    assert batch.moves() == ("t.in", 5)


def test_a_killed_slice_is_buried_once(tmp_path: Path) -> None:
    one = owned_assignment(tmp_path)
    told: list[int] = []
    one.on_death.append(lambda: told.append(1))
    one.kill()
    one.close()
    one.close()
    assert (one.live, one.ready, one.db, told) == (False, False, None, [1])


def test_records_that_hold_a_whole_event_do_not_count_among_what_a_unit_may_hold(tmp_path: Path) -> None:
    """A dead letter of an event of 25 MiB must be written, or its partition stands still."""
    unit = CommitUnit(owned_assignment(tmp_path))
    unit.send("dead-letters", b"x" * (25 << 20), b"k", limit=27 << 20)
    mark = unit.mark()
    unit.send("dead-letters", b"x" * (9 << 20), b"k", limit=27 << 20)
    unit.rollback(mark)
    for _ in range(CommitUnit.LIMIT // 900_000):
        unit.send("t", b"x" * 900_000)
    with pytest.raises(UnitTooLargeError, match="smaller"):
        unit.send("t", b"x" * 900_000)
