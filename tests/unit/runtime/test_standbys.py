"""Copies of stores in real files: kept fresh, handed over in place, never written by two."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from streams.runtime.assignment import PartitionAssignment
from streams.runtime.changelogs import ChangelogReading
from streams.runtime.partition_store import ChangelogMark
from streams.runtime.standbys import Standbys
from streams.runtime.store_index import StoreIndex
from streams.worker.http.ownership_check import NotOwnerError, OwnershipCheck
from tests.unit.runtime._changelog import Bench, FakeMessage, NoWait

if TYPE_CHECKING:
    from streams.runtime.runtime import Runtime

BY_ROW = StoreIndex(b"by row", lambda key, row: [row + b"\x00" + key])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.standbys.stop()


def read(reading: PartitionAssignment | None, key: bytes) -> bytes | None:
    assert reading is not None
    return reading.stores["counts"].committed(key)


def mark(owned: PartitionAssignment) -> ChangelogMark | None:
    assert owned.db is not None
    return owned.db.mark("counts")


def test_a_copy_follows_its_changelog(bench: Bench) -> None:
    bench.say(2, (b"a", b"1"), (b"b", b"1"))
    bench.standbys.want(frozenset({2}))
    bench.turn()
    assert read(bench.standbys.find(2), b"a") == b"1"
    assert bench.standbys.copied_partitions() == {2}
    bench.say(2, (b"a", b"2"), (b"b", None))
    bench.turn()
    assert (read(bench.standbys.find(2), b"a"), read(bench.standbys.find(2), b"b")) == (b"2", None)
    assert len(bench.reader.assigned) == 1


def test_the_owner_takes_the_open_store_over_and_reads_only_the_rest(bench: Bench) -> None:
    bench.say(0, *((b"%d" % number, b"1") for number in range(10)))
    bench.standbys.want(frozenset({0}))
    bench.turn()
    copy = bench.standbys.find(0)
    bench.say(0, (b"late", b"1"))
    owner = bench.owner(0)
    bench.turn()
    assert copy is not None
    assert not copy.live
    assert bench.standbys.copied_partitions() == frozenset()
    assert (read(owner, b"9"), read(owner, b"late")) == (b"1", None)
    [reading] = bench.changelogs.readings([owner])
    assert (reading.position, reading.end) == (10, 11)
    owner.close()


def test_what_is_owned_is_not_copied_until_it_is_closed_and_goes_on_from_there(bench: Bench) -> None:
    owner = bench.owner(1)
    assert owner.db is not None
    owner.db.apply([(owner.stores["counts"], b"a", b"1")], [("counts", ChangelogMark("id-c", 1, 1 << 60))])
    bench.say(1, (b"a", b"1"), (b"b", b"1"))
    bench.standbys.want(frozenset({1}))
    bench.turn()
    assert bench.standbys.copied_partitions() == frozenset()
    owner.close()
    bench.turn()
    assert bench.standbys.copied_partitions() == frozenset()
    bench.standbys.free(1)
    bench.turn()
    assert bench.reader.assigned[-1] == {1: 1}
    assert (read(bench.standbys.find(1), b"a"), read(bench.standbys.find(1), b"b")) == (b"1", b"1")


def test_a_copy_writes_nothing_once_it_is_claimed(bench: Bench) -> None:
    """Claimed between the fetch and the write: the rows are the owner's to read."""
    bench.say(0, (b"a", b"1"))
    bench.standbys.want(frozenset({0}))
    bench.turn()
    owners: list[PartitionAssignment] = []
    bench.say(0, (b"a", b"2"))
    take = bench.reader.consume

    def claimed_meanwhile(count: int, seconds: float) -> list[FakeMessage]:
        found = take(count, seconds)
        owners.append(bench.owner(0))
        return found

    vars(bench.reader)["consume"] = claimed_meanwhile
    bench.turn()
    [owner] = owners
    assert read(owner, b"a") == b"1"
    found = mark(owner)
    assert found is not None
    assert found.next_offset == 1
    owner.close()


def test_a_store_of_another_topic_is_not_cleared_under_its_new_owner(bench: Bench) -> None:
    """Claimed while the thread asks for the ends: what does not fit is the owner's to clear."""
    owner = bench.owner(0)
    assert owner.db is not None
    owner.db.apply([(owner.stores["counts"], b"a", b"1")], [("counts", ChangelogMark("old", 1, 1 << 60))])
    owner.close()
    bench.standbys.free(0)
    owners: list[PartitionAssignment] = []
    offsets = vars(bench.changelogs)["offsets"]

    def claimed_meanwhile(*asked: Any) -> Any:
        if not owners:
            owners.append(bench.owner(0))
        return offsets(*asked)

    vars(bench.changelogs)["offsets"] = claimed_meanwhile
    bench.standbys.want(frozenset({0}))
    bench.turn()
    assert read(owners[0], b"a") == b"1"
    owners[0].close()


def test_a_copy_that_is_not_wanted_any_more_is_closed_and_keeps_its_files(bench: Bench) -> None:
    bench.say(0, (b"a", b"1"))
    bench.say(3, (b"c", b"1"))
    bench.standbys.want(frozenset({0, 3}))
    bench.turn()
    bench.standbys.want(frozenset({3}))
    bench.turn()
    assert bench.standbys.copied_partitions() == {3}
    owner = bench.owner(0)
    assert read(owner, b"a") == b"1"
    owner.close()


def test_an_index_is_made_once_all_rows_are_there_and_kept_from_then_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, BY_ROW)
    bench.say(0, *((b"%d" % number, b"odd" if number % 2 else b"even") for number in range(6)))
    bench.reader.most = 4
    bench.standbys.want(frozenset({0}))
    bench.turn()
    copy = bench.standbys.find(0)
    assert copy is not None
    assert copy.db is not None
    store = copy.stores["counts"]
    assert not copy.db.indexed(store)
    bench.turn()
    assert copy.db.indexed(store)
    bench.say(0, (b"1", b"even"))
    bench.turn()
    found = [key[len(store.entries.prefix) :] for key in copy.db.keys(store.entries.prefix + b"odd\x00")]
    assert found == [b"odd\x003", b"odd\x005"]
    bench.standbys.stop()


def test_the_lag_is_told(bench: Bench) -> None:
    bench.say(0, *((b"%d" % number, b"1") for number in range(10)))
    bench.reader.most = 4
    bench.standbys.want(frozenset({0}))
    bench.turn()
    [family] = bench.standbys.collect()
    assert [(sample.labels, sample.value) for sample in family.samples] == [({"partition": "0"}, 6)]


def test_a_worker_that_restores_is_left_alone(bench: Bench) -> None:
    bench.say(0, (b"a", b"1"))
    bench.standbys.want(frozenset({0}))
    bench.busy = True
    bench.turn()
    assert bench.standbys.copied_partitions() == frozenset()
    bench.busy = False
    bench.turn()
    assert bench.standbys.copied_partitions() == {0}


def test_after_a_full_fetch_the_thread_rests_as_long_as_it_worked(bench: Bench) -> None:
    bench.reader.most = 10_000
    bench.say(0, *((b"%d" % number, b"1") for number in range(10_000)))
    bench.standbys.want(frozenset({0}))
    waits = vars(bench.standbys)["_halted"].waits
    bench.turn()
    assert len(waits) == 1
    bench.turn()
    bench.turn()
    assert len(waits) == 2  # the last turn had nothing to take


def test_trouble_is_logged_and_the_copies_are_opened_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench.say(0, (b"a", b"1"))
    bench.standbys.want(frozenset({0}))
    bench.reader.fails = OSError("no space left on device")
    waits = vars(bench.standbys)["_halted"]
    turned = bench.standbys.turn

    def until_it_is_there(reader: Any) -> None:
        turned(reader)
        if read(bench.standbys.find(0), b"a") == b"1":
            waits.set()

    vars(bench.standbys)["turn"] = until_it_is_there
    bench.standbys._run()
    assert caplog.messages == ["standbys stop for 10 s: no space left on device"]
    assert bench.reader.closed == 2


def test_owners_and_copies_take_turns_under_a_running_thread(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Claimed and freed again and again while the thread opens, writes and closes: no database is opened twice."""
    caplog.set_level(logging.INFO)
    bench = Bench(tmp_path)
    vars(bench.standbys)["_halted"] = bench.halted
    vars(bench.standbys)["turn"] = hurried(bench.standbys.turn, bench.standbys)
    rows = 0
    bench.standbys.want(frozenset({0}))
    bench.standbys.start()
    for turn in range(30):
        owner = bench.owner(0)
        reading = bench.changelogs.readings([owner])[0]
        assert reading.position <= rows
        for at, (key, value) in enumerate(bench.reader.rows.get(0, [])[reading.position :], reading.position):
            assert owner.db is not None
            owner.db.apply([(owner.stores["counts"], key, value)], [("counts", ChangelogMark("id-c", at + 1, 1 << 60))])
        assert dict(owner.stores["counts"].scan_committed()) == dict(bench.reader.rows.get(0, []))
        owner.kill()
        owner.close()
        bench.standbys.free(0)
        bench.say(0, *((b"%d-%d" % (turn, number), b"1") for number in range(20)))
        rows += 20
        if turn % 3 == 0:
            assert opened(bench.standbys), caplog.messages
    bench.standbys.stop()
    assert caplog.messages == []


def opened(standbys: Standbys) -> bool:
    """Wait until a copy is open."""
    return any(standbys.copied_partitions() or threading.Event().wait(0.001) for _ in range(20_000))


def hurried(turn: Callable[[Any], None], standbys: Standbys) -> Callable[[Any], None]:
    """Return the turn without its pauses."""
    halted = vars(standbys)["_halted"]

    def once(reader: Any) -> None:
        vars(standbys)["_halted"] = NoWait(halted)
        turn(reader)
        vars(standbys)["_halted"] = halted

    return once


def test_a_mark_is_no_younger_than_what_it_knows(bench: Bench) -> None:
    """Of what was not read to its end, deletions may be missing as of the time when the reading began."""
    owner = bench.owner(0)
    assert owner.db is not None
    owner.db.apply([(owner.stores["counts"], b"a", b"1")], [("counts", ChangelogMark("id-c", 1, 77))])
    bench.say(0, *((b"%d" % number, b"1") for number in range(10)))
    said: list[ChangelogReading] = [
        ChangelogReading(owner, owner.stores["counts"], "id-c", 4, 10, listed_ms=500, as_of_ms=77)
    ]
    bench.changelogs.write(said[0])
    assert mark(owner) == ChangelogMark("id-c", 4, 77)
    said[0].position = 10
    bench.changelogs.write(said[0])
    assert mark(owner) == ChangelogMark("id-c", 10, 500)
    owner.close()


def test_a_copy_is_read_with_its_place_until_it_is_claimed(bench: Bench) -> None:
    proof = OwnershipCheck(cast("Runtime", SimpleNamespace(standbys=bench.standbys, partitions=1)))

    def asked() -> tuple[bytes | None, dict[str, Any]]:
        return proof.of_copy("a", "counts", lambda copy: read(copy, b"a"))

    with pytest.raises(NotOwnerError):
        asked()
    bench.say(0, (b"a", b"1"), (b"b", b"1"))
    bench.standbys.want(frozenset({0}))
    bench.turn()
    assert asked() == (b"1", {"topic": "t.counts", "partition": 0, "offset": 1, "stale": True})
    copy = bench.standbys.find(0)
    owner = bench.owner(0)
    with pytest.raises(NotOwnerError):
        asked()
    vars(bench.standbys)["find"] = lambda _number: copy  # found a moment before it was claimed
    with pytest.raises(NotOwnerError):
        asked()
    owner.close()


def test_a_worker_without_standbys_has_no_copy() -> None:
    proof = OwnershipCheck(cast("Runtime", SimpleNamespace(standbys=None, partitions=1)))
    with pytest.raises(NotOwnerError):
        proof.of_copy("a", "counts", lambda copy: read(copy, b"a"))
