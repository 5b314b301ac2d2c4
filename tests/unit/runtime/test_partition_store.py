"""Partition stores in real files: atomic batches with their marks, prefixes, restarts, damage."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.runtime.commit_unit import CommitUnit
from streams.runtime.errors import StoreDamagedError
from streams.runtime.partition_store import ChangelogMark, PartitionDatabase, PartitionStore, StoreOptions
from tests.unit.runtime._fakes import COUNTS, owned_assignment


def opened(folder: Path) -> tuple[PartitionDatabase, PartitionStore, PartitionStore]:
    db = PartitionDatabase(folder / "0", StoreOptions())
    return db, PartitionStore(db, "journal", "t.journal", 0), PartitionStore(db, "journals", "t.journals", 0)


def test_rows_and_marks_survive_a_restart(tmp_path: Path) -> None:
    db, store, _ = opened(tmp_path)
    db.apply([(store, b"a", b"1"), (store, b"b", b"2"), (store, b"a", None)], [("journal", ChangelogMark("id", 3, 99))])
    db.close()
    db, store, _ = opened(tmp_path)
    assert db.rebuilt is None
    assert (store.committed(b"a"), store.committed(b"b")) == (None, b"2")
    assert db.mark("journal") == ChangelogMark("id", 3, 99)
    db.close()


def test_stores_whose_names_begin_alike_do_not_mix(tmp_path: Path) -> None:
    db, store, other = opened(tmp_path)
    db.apply([(store, b"k", b"1"), (other, b"k", b"2")], [])
    assert list(store.scan_committed()) == [(b"k", b"1")]
    assert list(other.scan_committed()) == [(b"k", b"2")]
    db.apply([], [("journal", ChangelogMark("id", 1, 1)), ("journals", ChangelogMark("id", 2, 2))])
    db.clear(store)
    assert list(store.scan_committed()) == []
    assert db.mark("journal") is None
    assert list(other.scan_committed()) == [(b"k", b"2")]
    assert db.mark("journals") == ChangelogMark("id", 2, 2)
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
    one = owned_assignment(tmp_path)
    store = one.stores[COUNTS]
    assert one.db is not None
    one.db.apply([(store, b"kept", b"1"), (store, b"changed", b"1"), (store, b"deleted", b"1")], [])
    unit = CommitUnit(one)
    unit.put(store, b"changed", b"2")
    unit.put(store, b"deleted", None)
    unit.put(store, b"new", b"3")
    assert dict(store.scan()) == {b"kept": b"1", b"changed": b"2", b"new": b"3"}
    assert dict(store.scan_committed()) == {b"kept": b"1", b"changed": b"1", b"deleted": b"1"}
    assert dict(store.clean().scan()) == dict(store.scan_committed())


def test_a_damaged_database_is_removed_and_said(tmp_path: Path) -> None:
    db, store, _ = opened(tmp_path)
    db.apply([(store, b"k", b"v")], [("journal", ChangelogMark("id", 3, 99))])
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


def test_a_disk_that_takes_no_more_is_an_error_at_the_write_and_the_store_is_whole_afterwards(tmp_path: Path) -> None:
    """A limit on the size of files is to a process what a full disk is: its writes fail."""
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from streams.runtime.partition_store import ChangelogMark, PartitionDatabase, PartitionStore, StoreOptions\n"
        "db = PartitionDatabase(Path(sys.argv[1]), StoreOptions())\n"
        "store = PartitionStore(db, 'counts', 't.counts', 0)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))\n"
        "for number in range(1000):\n"
        "    try:\n"
        "        db.apply([(store, b'%d' % number, b'x' * 1000)], [('counts', ChangelogMark('id', number + 1, 0))])\n"
        "    except Exception as error:\n"
        "        print(number, error)\n"
        "        break\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "0")], timeout=120, check=True, capture_output=True, text=True
    )
    written, _, error = done.stdout.partition(" ")
    assert 0 < int(written) < 1000
    assert error.startswith("IO error"), done.stdout
    db = PartitionDatabase(tmp_path / "0", StoreOptions())
    store = PartitionStore(db, "counts", "t.counts", 0)
    rows = dict(store.scan_committed())
    mark = db.mark("counts")
    assert db.rebuilt is None
    assert mark is not None
    assert set(rows) == {b"%d" % number for number in range(mark.next_offset)}
    assert mark.next_offset in (int(written), int(written) + 1)
    db.close()


def _spoil(folder: Path) -> None:
    """Flip bits in the middle of the largest file of rows, as a failing disk does."""
    file = max(folder.glob("*.sst"), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(byte ^ 0xFF for byte in data[middle : middle + 64])
    file.write_bytes(bytes(data))


def _damaged_store(folder: Path, reported: list[StoreDamagedError]) -> tuple[PartitionDatabase, PartitionStore]:
    db, store, _ = opened(folder)
    rows = [(store, b"%05d" % number, random.Random(number).randbytes(100)) for number in range(20_000)]
    db.apply(rows, [("journal", ChangelogMark("id", 20_000, 1))])
    db._db.flush()
    db.close()
    _spoil(folder / "0")
    db = PartitionDatabase(folder / "0", StoreOptions(), damaged=reported.append)
    return db, PartitionStore(db, "journal", "t.journal", 0)


@pytest.mark.parametrize(
    "read",
    [
        lambda store: list(store.scan_committed()),
        lambda store: list(store.db.keys(store.prefix)),
        lambda store: [store.get(b"%05d" % number) for number in range(20_000)],
    ],
    ids=["rows", "keys", "one by one"],
)
def test_a_block_that_cannot_be_read_is_an_error_and_never_a_short_answer(
    tmp_path: Path, read: Callable[[PartitionStore], object]
) -> None:
    reported: list[StoreDamagedError] = []
    db, store = _damaged_store(tmp_path, reported)
    with pytest.raises(StoreDamagedError, match="cannot be read"):
        read(store)
    assert len(reported) == 1
    reported.clear()
    gc.collect()  # the error's traceback holds the iterator, and with it the lock of the folder
    db.close()
    db, store, _ = opened(tmp_path)
    assert db.rebuilt is not None
    assert db.mark("journal") is None, "a damaged store is read from its changelog again"
    assert list(store.scan_committed()) == []
    db.close()
    db, *_ = opened(tmp_path)
    assert db.rebuilt is None, "once"
    db.close()


def test_a_closed_store_is_not_called_damaged(tmp_path: Path) -> None:
    reported: list[StoreDamagedError] = []
    db = PartitionDatabase(tmp_path / "0", StoreOptions(), damaged=reported.append)
    db.close()
    with pytest.raises(Exception, match="closed"):
        db.get(b"a")
    assert reported == []
    assert PartitionDatabase(tmp_path / "0", StoreOptions()).rebuilt is None
