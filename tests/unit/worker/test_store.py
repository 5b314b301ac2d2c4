"""Partition stores in real files: atomic batches with their marks, prefixes, restarts, damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.worker.state.store import Mark, PartitionDb, Store, StoreOptions
from streams.worker.state.unit import Unit
from tests.unit.worker._fakes import COUNTS, owned_slice


def opened(folder: Path) -> tuple[PartitionDb, Store, Store]:
    db = PartitionDb(folder / "0", StoreOptions())
    return db, Store(db, "journal", "t.journal", 0), Store(db, "journals", "t.journals", 0)


def test_rows_and_marks_survive_a_restart(tmp_path: Path) -> None:
    db, store, _ = opened(tmp_path)
    db.apply([(store, b"a", b"1"), (store, b"b", b"2"), (store, b"a", None)], [("journal", Mark("id", 3, 99))])
    db.close()
    db, store, _ = opened(tmp_path)
    assert db.rebuilt is None
    assert (store.committed(b"a"), store.committed(b"b")) == (None, b"2")
    assert db.mark("journal") == Mark("id", 3, 99)
    db.close()


def test_stores_whose_names_begin_alike_do_not_mix(tmp_path: Path) -> None:
    db, store, other = opened(tmp_path)
    db.apply([(store, b"k", b"1"), (other, b"k", b"2")], [])
    assert list(store.scan_committed()) == [(b"k", b"1")]
    assert list(other.scan_committed()) == [(b"k", b"2")]
    db.apply([], [("journal", Mark("id", 1, 1)), ("journals", Mark("id", 2, 2))])
    db.clear(store)
    assert list(store.scan_committed()) == []
    assert db.mark("journal") is None
    assert list(other.scan_committed()) == [(b"k", b"2")]
    assert db.mark("journals") == Mark("id", 2, 2)
    db.close()


@pytest.mark.parametrize("prefix", [b"", b"r/a", b"r/a/", b"\xff", b"r/\xff"])
def test_a_scan_gives_the_keys_with_the_prefix_in_order(tmp_path: Path, prefix: bytes) -> None:
    db, store, _ = opened(tmp_path)
    keys = [b"", b"r/a/1", b"r/a/2", b"r/ab/1", b"r/b", b"r/\xff", b"r/\xff\xff", b"s", b"\xff", b"\xff\xff"]
    db.apply([(store, key, b"v") for key in keys], [])
    assert [key for key, _ in store.scan_committed(prefix)] == sorted(key for key in keys if key.startswith(prefix))
    db.close()


def test_a_scan_goes_on_from_a_key(tmp_path: Path) -> None:
    db, store, _ = opened(tmp_path)
    db.apply([(store, b"%03d" % number, b"v") for number in range(100)], [])
    assert [key for key, _ in store.scan_committed(b"0", start=b"097")] == [b"097", b"098", b"099"]
    db.close()


def test_a_scan_through_the_overlay_shows_what_will_be(tmp_path: Path) -> None:
    one = owned_slice(tmp_path)
    store = one.stores[COUNTS]
    assert one.db is not None
    one.db.apply([(store, b"kept", b"1"), (store, b"changed", b"1"), (store, b"deleted", b"1")], [])
    unit = Unit(one)
    unit.put(store, b"changed", b"2")
    unit.put(store, b"deleted", None)
    unit.put(store, b"new", b"3")
    assert dict(store.scan()) == {b"kept": b"1", b"changed": b"2", b"new": b"3"}
    assert dict(store.scan_committed()) == {b"kept": b"1", b"changed": b"1", b"deleted": b"1"}
    assert dict(store.clean().scan()) == dict(store.scan_committed())


def test_a_damaged_database_is_removed_and_said(tmp_path: Path) -> None:
    db, store, _ = opened(tmp_path)
    db.apply([(store, b"k", b"v")], [("journal", Mark("id", 3, 99))])
    db.close()
    (tmp_path / "0" / "CURRENT").write_bytes(b"nothing\n")
    db, store, _ = opened(tmp_path)
    assert db.rebuilt
    assert (store.committed(b"k"), db.mark("journal")) == (None, None)
    db.close()


def test_a_database_that_is_in_use_is_not_taken_for_damaged(tmp_path: Path) -> None:
    db, store, _ = opened(tmp_path)
    db.apply([(store, b"k", b"v")], [])
    with pytest.raises(Exception, match=r"(?i)lock"):
        opened(tmp_path)
    assert store.committed(b"k") == b"v"
    db.close()


@pytest.mark.parametrize("data", [b"", b"x", b"id 1", b"id one 2", b"a b c d"])
def test_a_mark_that_cannot_be_read_means_from_the_start(tmp_path: Path, data: bytes) -> None:
    db, store, _ = opened(tmp_path)
    db._db.put(b"\x00mark\x00journal", data)
    assert db.mark(store.name) is None
    db.close()
