"""Writes the entries of a store's index: with the unit that writes their rows, or beside rows from the changelog."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.runtime.commit_unit import CommitUnit, Write
    from streams.runtime.partition_store import PartitionStore


def put_row(unit: CommitUnit, store: PartitionStore, key: bytes, before: bytes | None, after: bytes | None) -> None:
    """Write a row (None deletes it) and its entries with `unit`; `before` is the row as the overlay has it."""
    unit.put(store, key, after)
    index = store.index
    if index is not None and not index.hints:
        old = set() if before is None else set(index.keys(key, before))
        new = set() if after is None else set(index.keys(key, after))
        move_entries(unit, store, old - new, new - old)


def move_entries(unit: CommitUnit, store: PartitionStore, gone: Iterable[bytes], come: Iterable[bytes]) -> None:
    """Write entries with `unit`, whose row it writes, too."""
    entries = store.entries
    unit.writes += [(entries, at, None) for at in gone]
    unit.writes += [(entries, at, b"") for at in come]


def drop_entries(unit: CommitUnit, store: PartitionStore, gone: Iterable[bytes]) -> None:
    """Take entries away with `unit`."""
    unit.writes += [(store.entries, at, None) for at in gone]


def with_entries(store: PartitionStore, rows: Iterable[Write]) -> Iterator[Write]:
    """Yield rows read from the changelog with the entries that they take away and bring."""
    index, entries = store.index, store.entries
    fresh: dict[bytes, bytes | None] = {}
    for write in rows:
        _, key, after = write
        yield write
        if index is None or index.hints:
            continue
        before = fresh[key] if key in fresh else store.committed(key)
        fresh[key] = after
        if before is not None:
            yield from ((entries, at, None) for at in index.keys(key, before))
        if after is not None:
            yield from ((entries, at, b"") for at in index.keys(key, after))
