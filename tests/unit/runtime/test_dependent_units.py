"""Units behind another one, of another assignment perhaps: never true without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.runtime.assignment import PartitionAssignment
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.errors import MemberRefusedError, RecordRefusedError, TransactionAbortedError
from tests.unit.runtime._fakes import Bench, Committed, FakeOwner, FakeTransactions, owned_assignment, saying


def behind(base: CommitUnit, owned: PartitionAssignment, value: bytes) -> CommitUnit:
    """Return a unit that must not be true without `base`."""
    unit = saying(owned, value)
    unit.behind = base
    return unit


async def test_what_is_handed_over_at_a_hand_over_comes_behind_it_in_the_same_transaction(tmp_path: Path) -> None:
    one, two = owned_assignment(tmp_path, 0), owned_assignment(tmp_path, 1)
    log, owner = FakeTransactions(), FakeOwner(one, two)
    bench, base = Bench(log, owner), saying(one, b"event")
    base.on_add.append(lambda: bench.committer.add(behind(base, two, b"run")))
    await bench.through(base, saying(one, b"later"))
    assert (log.values, len(log.done), owner.renewed) == ([b"event", b"run", b"later"], 1, [])


async def test_a_unit_whose_base_went_with_its_partition_takes_its_own_slice_with_it(tmp_path: Path) -> None:
    one, two = owned_assignment(tmp_path, 0), owned_assignment(tmp_path, 1)
    log, owner = FakeTransactions(), FakeOwner(one, two)
    bench, base = Bench(log, owner), saying(one, b"event")
    run, after = behind(base, two, b"run"), saying(two, b"step of the run")
    for unit in (base, run, after):
        bench.committer.add(unit)
    one.kill()
    await bench.through(saying(two, b"new"))
    assert (log.values, owner.renewed, two.live) == ([], [two], False)
    assert [unit.lost for unit in (base, run, after)] == [True, True, True]


async def test_a_base_that_moves_while_the_member_is_refused_is_noticed_by_those_behind_it(tmp_path: Path) -> None:
    one, two, three = (owned_assignment(tmp_path, number) for number in range(3))
    owner = FakeOwner(one, two, three)
    owner.on_next = one.kill

    def judge(asked: Committed) -> None:
        if asked.metadata == 1:
            raise MemberRefusedError("ILLEGAL_GENERATION")

    log = FakeTransactions(judge)
    base = saying(one, b"event")
    await Bench(log, owner).through(base, behind(base, two, b"run"), saying(three, b"other"))
    assert (log.values, owner.renewed) == ([b"other"], [two])


@pytest.mark.parametrize("stands_alone", [True, False])
async def test_a_base_that_the_broker_refuses_is_noticed_by_those_behind_it(tmp_path: Path, stands_alone: bool) -> None:
    one, two, three = (owned_assignment(tmp_path, number) for number in range(3))

    def judge(asked: Committed) -> None:
        if any(out[1] == b"event" for out in asked.outs):
            raise RecordRefusedError("MSG_SIZE_TOO_LARGE") if asked.careful else TransactionAbortedError("refused")

    log, owner = FakeTransactions(judge), FakeOwner(one, two, three)
    base = saying(one, b"event", **({"on_refuse": lambda _error: None} if stands_alone else {}))
    await Bench(log, owner).through(saying(three, b"a"), base, behind(base, two, b"run"), saying(three, b"b"))
    assert (log.values, owner.renewed) == ([b"a", b"b"], [two])


async def test_a_base_that_is_committed_stands_for_good(tmp_path: Path) -> None:
    """Its assignment may end after that: what is behind it is true."""
    one, two = owned_assignment(tmp_path, 0), owned_assignment(tmp_path, 1)
    log, owner = FakeTransactions(), FakeOwner(one, two)
    bench, base = Bench(log, owner), saying(one, b"event")
    base.on_commit.append(one.kill)
    base.on_commit.append(lambda: bench.committer.add(behind(base, two, b"run")))
    await bench.through(base)
    assert (log.values, owner.renewed, base.lost) == ([b"event", b"run"], [], False)
