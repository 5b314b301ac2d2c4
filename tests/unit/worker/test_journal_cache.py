"""Journals that are asked for again are decoded no further than they have grown."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from streams.engine.entry import Entry
from streams.runtime.assignment import PartitionAssignment
from streams.worker.http.journal_cache import JournalCache


class FakeJournal:
    """Rows by run; counts what is decoded. A row is its seq."""

    def __init__(self, **runs: dict[bytes, bytes]) -> None:
        self.runs = runs
        self.decoded = 0

    def rows(self, _: PartitionAssignment, run_id: str) -> Any:
        return iter(self.runs.get(run_id, {}).items())

    def decode(self, row: bytes) -> Entry:
        self.decoded += 1
        return cast("Entry", SimpleNamespace(seq=int(row)))


def seqs(entries: list[Entry]) -> list[int]:
    return [entry.seq for entry in entries]


def test_only_what_is_new_or_written_over_is_decoded() -> None:
    journal = FakeJournal(r={b"b": b"1", b"a": b"2"})
    decoded, owned = JournalCache(cast("Any", journal)), PartitionAssignment(0, {})
    assert seqs(decoded.entries(owned, "r")) == [1, 2]
    assert seqs(decoded.entries(owned, "r")) == [1, 2]
    assert journal.decoded == 2
    journal.runs["r"] |= {b"c": b"3", b"a": b"4"}
    assert seqs(decoded.entries(owned, "r")) == [1, 3, 4]
    assert journal.decoded == 4
    del journal.runs["r"][b"b"]
    assert seqs(decoded.entries(owned, "r")) == [3, 4]
    assert journal.decoded == 4
    assert decoded.entries(owned, "nobody") == []


def test_another_assignment_of_the_partition_begins_anew() -> None:
    journal = FakeJournal(r={b"a": b"1"})
    decoded = JournalCache(cast("Any", journal))
    for _ in range(2):
        assert seqs(decoded.entries(PartitionAssignment(0, {}), "r")) == [1]
    assert journal.decoded == 2


def test_what_is_kept_is_bounded_and_the_oldest_look_goes_first() -> None:
    journal = FakeJournal(a={b"k": b"1"}, b={b"k": b"2"}, c={b"k": b"3"}, large={b"k": b"4444"})
    decoded, owned = JournalCache(cast("Any", journal), most=2), PartitionAssignment(0, {})
    for run_id in ("a", "b", "a", "c", "large", "a", "c"):
        decoded.entries(owned, run_id)
    assert journal.decoded == 4
    decoded.entries(owned, "b")
    assert journal.decoded == 5
