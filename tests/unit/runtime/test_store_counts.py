"""Rows that a whole transaction counts: one for each assignment, however often the transaction is sent."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from streams import clock
from streams.runtime.assignment import PartitionAssignment
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.errors import RecordRefusedError, TransactionAbortedError
from tests.unit.runtime._fakes import (
    COUNTS,
    Bench,
    Committed,
    Counting,
    FakeOwner,
    FakeTransactions,
    owned_assignment,
    saying,
)


def counting(owned: PartitionAssignment, value: bytes) -> CommitUnit:
    unit = saying(owned, value)
    unit.change(Counting(owned.stores[COUNTS]))
    return unit


async def test_what_units_count_is_one_row_of_their_transaction(tmp_path: Path) -> None:
    one, two = owned_assignment(tmp_path, 0), owned_assignment(tmp_path, 1)
    log = FakeTransactions()
    await Bench(log, FakeOwner(one, two)).through(*(counting(owned, b"x") for owned in (one, one, two)))
    rows = [(out[3], out[1]) for out in log.done[0].outs if out[0] == "t.counts"]
    assert rows == [(0, b"2"), (1, b"1")]
    assert [owned.stores[COUNTS].committed(b"all") for owned in (one, two)] == [b"2", b"1"]


async def test_a_unit_counts_once_whatever_transactions_come_to(tmp_path: Path) -> None:
    chance = random.Random(3)

    def judge(asked: Committed) -> None:
        if any(out[1] == b"bad" for out in asked.outs):
            if len([out for out in asked.outs if out[0] == "t.out"]) == 1:
                raise RecordRefusedError("bad")
            raise TransactionAbortedError("one of them")
        if chance.random() < 0.4:
            raise TransactionAbortedError("for no reason")

    one = owned_assignment(tmp_path)
    bench = Bench(FakeTransactions(judge), FakeOwner(one))
    units = [counting(one, b"x") for _ in range(40)]
    bad = counting(one, b"bad")
    bad.on_refuse = lambda _error: None
    units.insert(17, bad)
    await bench.through(*units)
    assert sum(unit.committed for unit in units) == 40
    assert one.stores[COUNTS].committed(b"all") == b"40"


async def test_a_change_is_seen_through_the_overlay_until_its_unit_is_settled(tmp_path: Path) -> None:
    owned = owned_assignment(tmp_path)
    store, unit = owned.stores[COUNTS], counting(owned, b"x")
    assert store.get(b"all") == b"one more"
    assert dict(store.scan(b"al")) == {b"all": b"one more"}
    assert store.committed(b"all") is None
    await Bench(FakeTransactions(), FakeOwner(owned)).through(unit)
    assert store.get(b"all") == store.committed(b"all") == b"1"
    assert not store.dirty


async def test_a_transaction_takes_along_what_is_ready_within_a_few_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "monotonic", lambda: 100.0)  # its milliseconds would be over after any pause
    owned, log = owned_assignment(tmp_path), FakeTransactions()
    bench, left = Bench(log, FakeOwner(owned)), [saying(owned, b"second"), saying(owned, b"third")]

    def busy() -> bool:
        if left:
            bench.committer.add(left.pop(0))
        return bool(left)

    bench.busy = busy
    await bench.through(saying(owned, b"first"))
    assert [[out[1] for out in call.outs] for call in log.done] == [[b"first", b"second", b"third"]]


async def test_what_stays_busy_holds_no_transaction_back(tmp_path: Path) -> None:
    owned, log = owned_assignment(tmp_path), FakeTransactions()
    bench = Bench(log, FakeOwner(owned))
    bench.busy = lambda: True
    await bench.through(saying(owned, b"first"))
    assert log.values == [b"first"]
