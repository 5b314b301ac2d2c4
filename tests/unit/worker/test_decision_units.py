"""A large decision becomes several units in order; one that came with a batch stays in the batch's unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streams.engine.decision import Decision
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.errors import UnitTooLargeError
from streams.worker.runs.decision_units import MOST_RECORDS, DecisionUnits
from tests.unit.runtime._fakes import JOURNAL, owned_assignment

PIECES = 2_500


def filled(parts: DecisionUnits, pieces: int, size: int = 10) -> None:
    for number in range(pieces):
        unit = parts.next()
        parts.rows(unit, [(b"r/%d" % number, b"x" * size)])
        unit.send("t.out", b"y" * size, b"%d" % number)


def test_each_part_has_whole_pieces_in_order(tmp_path: Path) -> None:
    parts = DecisionUnits(owned_assignment(tmp_path), None)
    filled(parts, PIECES)
    assert parts.write() is parts.units[-1]
    assert len(parts.units) > 1
    assert all(len(unit.writes) + len(unit.outs) <= 2 * MOST_RECORDS for unit in parts.units)
    keys = [[key.removeprefix(b"r/") for _, key, _ in unit.writes] for unit in parts.units]
    outs = [[key for topic, _, key, _, _ in unit.outs if topic == "t.out"] for unit in parts.units]
    assert keys == outs
    assert [int(key) for part in keys for key in part] == list(range(PIECES))


def test_large_pieces_make_small_parts(tmp_path: Path) -> None:
    parts = DecisionUnits(owned_assignment(tmp_path), None)
    filled(parts, 40, size=300_000)
    parts.write()
    assert len(parts.units) == 20
    assert max(unit.size for unit in parts.units) < 2 * 1024 * 1024


def test_what_comes_with_a_batch_stays_whole_and_is_taken_back_whole(tmp_path: Path) -> None:
    owned = owned_assignment(tmp_path)
    given = CommitUnit(owned)
    given.send("t.before", b"kept")
    parts = DecisionUnits(owned, given)
    filled(parts, PIECES)
    assert parts.units == [given]
    parts.rollback()
    assert [topic for topic, *_ in given.outs] == ["t.before"]
    assert owned.stores[JOURNAL].get(b"r/0") is None


def test_a_piece_that_no_transaction_takes_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    owned = owned_assignment(tmp_path)
    parts = DecisionUnits(owned, None)
    with pytest.raises(UnitTooLargeError):
        parts.rows(parts.next(), [(b"r/%d" % number, b"x" * 900_000) for number in range(10)])
    assert owned.stores[JOURNAL].get(b"r/0") is None


def test_a_decision_is_cut_where_it_was_said() -> None:
    entries: list[Any] = [1, 2, 3]
    outputs: list[Any] = ["a", "b"]
    decision = Decision(entries=entries, outputs=outputs, cuts=[(1, 1), (1, 1), (2, 1)])
    assert list(decision.pieces()) == [(entries[:1], outputs[:1]), (entries[1:2], []), (entries[2:], outputs[1:])]
    assert list(Decision().pieces()) == []
