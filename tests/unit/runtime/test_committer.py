"""Group commit against scripted outcomes: order, fences, refusals, the culprit found, nothing of the dead."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from streams import clock
from streams.runtime import committer as module
from streams.runtime.assignment import PartitionAssignment
from streams.runtime.commit_unit import CommitUnit, DeferredRow, Write
from streams.runtime.errors import (
    DeadAssignmentError,
    MemberRefusedError,
    OutcomeUnknownError,
    RecordRefusedError,
    TransactionAbortedError,
    TransactionStuckError,
)
from tests.unit.runtime._fakes import (
    COUNTS,
    JOURNAL,
    Bench,
    Committed,
    FakeOwner,
    FakeTransactions,
    batch_of,
    counted_on,
    owned_assignment,
    saying,
)


async def test_what_is_ready_together_is_one_transaction_in_the_order_of_hand_over(tmp_path: Path) -> None:
    one, two = owned_assignment(tmp_path, 0), owned_assignment(tmp_path, 1)
    log = FakeTransactions()
    bench = Bench(log, FakeOwner(one, two))
    await bench.through(saying(one, b"a"), saying(two, b"b"), saying(one, b"c"))
    assert len(log.done) == 1
    assert log.values == [b"a", b"b", b"c"]
    assert bench.crashes == []


async def test_a_transaction_carries_an_offset_of_every_partition_that_it_writes(tmp_path: Path) -> None:
    """Also where none moved: that is the fence."""
    one, two = owned_assignment(tmp_path, 0, applied=10), owned_assignment(tmp_path, 1, applied=20)
    log = FakeTransactions()
    batch = batch_of(one, 10, 14)
    await Bench(log, FakeOwner(one, two)).through(batch, saying(two, b"x"))
    assert log.done[0].offsets == {("t.in", 0): 15, (two.fence().topic, 1): 20}


async def test_a_partition_without_any_committed_offset_is_fenced_by_zero(tmp_path: Path) -> None:
    one = owned_assignment(tmp_path, 0, applied=-1)
    log = FakeTransactions()
    await Bench(log, FakeOwner(one)).through(saying(one, b"x"))
    assert set(log.done[0].offsets.values()) == {0}


async def test_the_moved_offset_rides_in_the_ledger_too(tmp_path: Path) -> None:
    one = owned_assignment(tmp_path)
    log = FakeTransactions()
    await Bench(log, FakeOwner(one)).through(batch_of(one, 10, 11), batch_of(one, 12, 14))
    assert [out[1] for out in log.done[0].outs if out[2] == b"o/t.in"] == [b"15"]
    assert one.stores[JOURNAL].committed(b"o/t.in") == b"15"
    assert one.sources["t.in"].applied == 15


async def test_rows_are_in_the_overlay_before_and_in_the_store_after_the_commit(tmp_path: Path) -> None:
    one = owned_assignment(tmp_path)
    seen: list[bytes | None] = []
    log = FakeTransactions(judge=lambda _: seen.append(one.stores[COUNTS].committed(b"k")))
    unit = CommitUnit(one)
    unit.put(one.stores[COUNTS], b"k", b"1")
    assert one.stores[COUNTS].get(b"k") == b"1"
    done: list[str] = []
    unit.on_commit.append(lambda: done.append("told"))
    await Bench(log, FakeOwner(one)).through(unit)
    assert seen == [None]
    assert one.stores[COUNTS].committed(b"k") == b"1"
    assert (one.stores[COUNTS].dirty, done, unit.committed) == ({}, ["told"], True)
    assert one.db is not None
    mark = one.db.mark(COUNTS)
    assert mark is not None
    assert (mark.topic_id, mark.next_offset) == ("id-c", 1)


async def test_units_of_a_dead_slice_enter_no_transaction(tmp_path: Path) -> None:
    one, dead = owned_assignment(tmp_path, 0), owned_assignment(tmp_path, 1)
    log, owner = FakeTransactions(), FakeOwner(one, dead)
    bench = Bench(log, owner)
    refused: list[Exception] = []
    bench.committer.add(batch_of(dead, 10, 12))
    bench.committer.add(saying(dead, b"late", on_refuse=refused.append))
    dead.kill()
    bench.committer.add(saying(dead, b"later", on_refuse=refused.append))
    await bench.through(saying(one, b"x"))
    assert log.values == [b"x"]
    assert [type(error) for error in refused] == [DeadAssignmentError] * 2
    assert owner.released == batch_of(one, 10, 12).weight()


async def test_a_slice_that_is_not_published_yet_is_waited_for(tmp_path: Path) -> None:
    fresh = owned_assignment(tmp_path)
    log, owner = FakeTransactions(), FakeOwner()
    owner.on_next = lambda: owner.assignments.add(fresh)
    await Bench(log, owner).through(saying(fresh, b"x"))
    assert (log.values, owner.next_pairs) == ([b"x"], 1)
    assert log.done[0].metadata == 2


async def test_a_slice_that_dies_while_its_transaction_is_under_way_is_not_written_to(tmp_path: Path) -> None:
    one = owned_assignment(tmp_path)
    log = FakeTransactions(judge=lambda _: one.kill())
    unit = CommitUnit(one)
    unit.put(one.stores[COUNTS], b"k", b"1")
    await Bench(log, FakeOwner(one)).through(unit)
    assert one.stores[COUNTS].committed(b"k") is None


class Change:
    """A change of a row whose bytes are made at the commit."""

    def __init__(self, owned: PartitionAssignment) -> None:
        self.store, self.key = owned.stores[COUNTS], b"all"

    def data(self) -> bytes:
        return b"1"


async def test_a_slice_that_dies_before_its_rows_are_read_is_left_out(tmp_path: Path) -> None:
    """Its database is closed in the event loop meanwhile: a read of it ended the worker."""
    one, gone = owned_assignment(tmp_path, 0), owned_assignment(tmp_path, 1)
    read: list[tuple[int, bool]] = []

    def rows(owned: PartitionAssignment, changes: Sequence[DeferredRow]) -> tuple[list[Write], list[Write]]:
        read.append((owned.partition, owned.guard.locked()))
        gone.kill()
        return counted_on(owned, changes)

    bench = Bench(log := FakeTransactions(), FakeOwner(one, gone), rows)
    units = saying(one, b"a"), saying(gone, b"lost"), saying(one, b"b")
    for unit in units:
        unit.change(Change(unit.assignment))
    await bench.through(*units)
    assert log.values == [b"a", b"b", b"2"]
    assert read == [(0, True), (0, True)], "and none dies while its rows are read"
    assert bench.crashes == []


async def test_after_a_refused_member_the_units_that_still_live_go_again_in_order(tmp_path: Path) -> None:
    one, gone = owned_assignment(tmp_path, 0), owned_assignment(tmp_path, 1)
    owner = FakeOwner(one, gone)

    def judge(asked: Committed) -> None:
        if asked.metadata == 1:
            raise MemberRefusedError("ILLEGAL_GENERATION")

    owner.on_next = gone.kill
    log = FakeTransactions(judge)
    await Bench(log, owner).through(saying(one, b"a"), saying(gone, b"lost"), saying(one, b"b"))
    assert log.values == [b"a", b"b"]
    assert log.done[0].metadata == 2


async def test_nothing_is_sent_when_all_were_refused(tmp_path: Path) -> None:
    one = owned_assignment(tmp_path)
    owner = FakeOwner(one)
    owner.on_next = one.kill

    def judge(_asked: Committed) -> None:
        raise MemberRefusedError("UNKNOWN_MEMBER_ID")

    log = FakeTransactions(judge)
    await Bench(log, owner).through(saying(one, b"a"))
    assert len(log.calls) == 1


@pytest.mark.parametrize("culprit", [0, 1, 17, 31, 32])
async def test_the_record_that_spoils_a_transaction_is_found_and_its_neighbours_pass_in_order(
    tmp_path: Path, culprit: int
) -> None:
    one = owned_assignment(tmp_path)
    bad = b"%d" % culprit

    def judge(asked: Committed) -> None:
        if bad in [out[1] for out in asked.outs]:
            raise RecordRefusedError("too large") if asked.careful else TransactionAbortedError("a batch failed")

    refused: list[Exception] = []
    log = FakeTransactions(judge)
    bench = Bench(log, FakeOwner(one))
    await bench.through(*(saying(one, b"%d" % number, on_refuse=refused.append) for number in range(33)))
    assert log.values == [b"%d" % number for number in range(33) if number != culprit]
    assert [type(error) for error in refused] == [RecordRefusedError]
    assert bench.crashes == []


async def test_two_culprits_in_one_group_are_both_found(tmp_path: Path) -> None:
    one = owned_assignment(tmp_path)

    def judge(asked: Committed) -> None:
        if {b"3", b"4"} & {out[1] for out in asked.outs}:
            raise RecordRefusedError("no") if asked.careful else TransactionAbortedError("no")

    refused: list[Exception] = []
    log = FakeTransactions(judge)
    await Bench(log, FakeOwner(one)).through(
        *(saying(one, b"%d" % number, on_refuse=refused.append) for number in range(8))
    )
    assert (log.values, len(refused)) == ([b"0", b"1", b"2", b"5", b"6", b"7"], 2)


async def test_a_transaction_that_was_aborted_for_no_record_is_sent_again(tmp_path: Path) -> None:
    """A message that timed out, say: bisecting costs a few transactions and loses nothing."""
    one = owned_assignment(tmp_path)
    fails = iter([True, True, False, True])

    def judge(_asked: Committed) -> None:
        if next(fails, False):
            raise TransactionAbortedError("timed out")

    log = FakeTransactions(judge)
    await Bench(log, FakeOwner(one)).through(*(saying(one, b"%d" % number) for number in range(5)))
    assert log.values == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_unit_that_is_aborted_for_no_record_again_and_again_ends_the_process_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To send it for ever would be a hang that nobody sees; to drop it would lose it."""
    monkeypatch.setattr(module, "_PAUSE_S", 0.0)
    one = owned_assignment(tmp_path)
    tries = 0

    def judge(_asked: Committed) -> None:
        nonlocal tries
        tries += 1
        raise TransactionAbortedError("not enough replicas")

    log = FakeTransactions(judge)
    bench = Bench(log, FakeOwner(one))
    unit = saying(one, b"x")
    await bench.through(unit)
    assert (tries, log.values, unit.committed) == (module._ABORTS, [], False)
    (crash,) = bench.crashes
    assert isinstance(crash, TransactionStuckError)
    assert "aborted 8 times in a row, and not for a record of it (not enough replicas)" in str(crash)


async def test_a_refused_unit_that_nobody_answers_for_ends_its_slice_and_no_other(tmp_path: Path) -> None:
    """What came after it in its assignment may rest on it, so that is read again; other assignments go on."""
    one, two = owned_assignment(tmp_path, 0), owned_assignment(tmp_path, 1)

    def judge(asked: Committed) -> None:
        if b"bad" in [out[1] for out in asked.outs]:
            raise RecordRefusedError("no") if asked.careful else TransactionAbortedError("no")

    log = FakeTransactions(judge)
    bench = Bench(log, FakeOwner(one, two))
    bad = saying(one, b"bad")
    await bench.through(saying(one, b"before"), bad, saying(two, b"other"), saying(one, b"after"))
    assert log.values == [b"before", b"other"]
    assert [unit for unit, _ in bench.refused] == [bad]
    assert (one.live, two.live, bench.crashes) == (False, True, [])


async def test_after_an_unknown_outcome_nothing_is_concluded_and_the_process_ends(tmp_path: Path) -> None:
    one = owned_assignment(tmp_path)

    def judge(_asked: Committed) -> None:
        raise OutcomeUnknownError("fenced")

    told: list[str] = []
    unit = CommitUnit(one)
    unit.put(one.stores[COUNTS], b"k", b"1")
    unit.on_commit.append(lambda: told.append("committed"))
    unit.on_refuse = lambda _error: told.append("refused")
    bench = Bench(FakeTransactions(judge), FakeOwner(one))
    await bench.through(unit)
    assert [type(error) for error in bench.crashes] == [OutcomeUnknownError]
    assert told == []
    assert one.stores[COUNTS].committed(b"k") is None
    assert not bench.committer.proven()


async def test_a_transaction_is_bounded_and_a_unit_never_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RECORDS", 10)
    one = owned_assignment(tmp_path)
    log = FakeTransactions()
    units = [CommitUnit(one) for _ in range(4)]
    for unit, size in zip(units, (6, 4, 25, 1), strict=True):
        for _ in range(size):
            unit.send("t.out", b"x")
    await Bench(log, FakeOwner(one)).through(*units)
    assert [len(call.outs) for call in log.done] == [10, 25, 1]


async def test_what_arrives_while_a_transaction_is_under_way_is_the_next_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_S", 3600.0)  # no proof of ownership in between
    one = owned_assignment(tmp_path)
    log = FakeTransactions()
    log.gate.clear()
    bench = Bench(log, FakeOwner(one))
    bench.committer.add(saying(one, b"first"))
    running = asyncio.create_task(bench.committer.run())
    await log.begun.wait()
    for number in range(5):
        bench.committer.add(saying(one, b"%d" % number))
    assert not await bench.committer.drain(0)
    log.gate.set()
    assert await bench.committer.drain(60)
    bench.committer.stop()
    await running
    assert [len(call.outs) for call in log.done] == [1, 5]


async def test_between_transactions_means_with_none_under_way(tmp_path: Path) -> None:
    one = owned_assignment(tmp_path)
    log = FakeTransactions()
    bench = Bench(log, FakeOwner(one))
    order: list[str] = []
    log.judge = lambda _asked: order.append("transaction")
    bench.committer.between(lambda: order.append("between"))
    await bench.through(saying(one, b"x"))
    assert order == ["between", "transaction"]


async def test_an_idle_worker_proves_its_ownership_and_then_effects_may_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.01)
    one = owned_assignment(tmp_path)
    log = FakeTransactions()
    bench = Bench(log, FakeOwner(one))
    assert not bench.committer.proven()
    running = asyncio.create_task(bench.committer.run())
    await log.begun.wait()
    bench.committer.stop()
    await running
    assert bench.committer.proven()
    assert log.done[0].outs == []
    assert log.done[0].offsets == {(one.fence().topic, 0): 10}


async def test_the_proof_counts_from_the_begin_of_the_transaction(tmp_path: Path) -> None:
    """Else a transaction that took long would prove an ownership that may have ended meanwhile."""
    one = owned_assignment(tmp_path)
    began: list[float] = []
    log = FakeTransactions(judge=lambda _: began.append(clock.boottime()))
    bench = Bench(log, FakeOwner(one))
    await bench.through(saying(one, b"x"))
    assert bench.committer.accepted_at <= began[0]


async def test_a_library_that_does_not_come_back_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.01)
    one = owned_assignment(tmp_path)
    log = FakeTransactions()
    log.gate.clear()
    monkeypatch.setattr(log, "stuck", lambda: True)
    bench = Bench(log, FakeOwner(one))
    await bench.through(saying(one, b"x"))
    assert [type(error) for error in bench.crashes] == [OutcomeUnknownError]
    log.gate.set()


async def test_the_stages_of_a_commit_are_told(tmp_path: Path) -> None:
    one = owned_assignment(tmp_path)
    bench = Bench(FakeTransactions(), FakeOwner(one))
    await bench.through(saying(one, b"x"))
    assert bench.stages == ["stored"]


async def test_a_transaction_that_is_under_way_can_be_seen_after_its_loop_was_cancelled(tmp_path: Path) -> None:
    """A process that ends by itself waits for the commit's thread, so whoever leaves must know of it."""
    one = owned_assignment(tmp_path)
    entered, answer = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def judge(_asked: Committed) -> None:
        loop.call_soon_threadsafe(entered.set)
        answer.wait()

    committer = Bench(FakeTransactions(judge), FakeOwner(one)).committer
    committer.add(saying(one, b"x"))
    assert not committer.at_work
    running = asyncio.create_task(committer.run())
    await entered.wait()
    running.cancel()
    await asyncio.wait({running})
    assert committer.at_work
    answer.set()


async def test_a_store_that_cannot_be_written_ends_the_process_and_nobody_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed is on the log and is read from there by whoever restores; going on would lose rows."""
    one = owned_assignment(tmp_path)
    told: list[str] = []
    unit = CommitUnit(one)
    unit.put(one.stores[COUNTS], b"k", b"1")
    unit.on_commit.append(lambda: told.append("committed"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(one.db, "apply", full)
    bench = Bench(FakeTransactions(), FakeOwner(one))
    with pytest.raises(OSError, match="No space left"):
        await bench.through(unit)
    assert told == []


async def test_a_proof_of_before_a_suspend_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The monotonic clock stands still while the machine is suspended; whoever owns the partition now does not."""
    one = owned_assignment(tmp_path)
    bench = Bench(FakeTransactions(), FakeOwner(one))
    await bench.through(saying(one, b"x"))
    assert bench.committer.proven()
    woken = clock.boottime() + 3600
    monkeypatch.setattr(clock, "boottime", lambda: woken)
    assert not bench.committer.proven()
