"""Indexes: other ways to find the rows of a store, kept beside it and made of its rows alone.

An entry is a key without a value. Entries are written in the batch that writes their rows, so a query finds what the
rows say; they have no changelog, because the rows that come from it make them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streams.runtime.commit_unit import CommitUnit, Write
    from streams.runtime.partition_store import PartitionStore

_LONGEST: Final = 200  # bytes of a value in an entry; a longer one is found by its digest


@dataclass(frozen=True, slots=True)
class StoreIndex:
    """How entries are made: `keys` of a key and its row; another `definition` makes them all anew.

    With `hints` the store writes them itself beside each row, and no entry goes with its row: who finds one looks at
    the row, and takes the entry away with `drop_entries`. That spares every write the reading of the row before.
    """

    definition: bytes
    keys: Callable[[bytes, bytes], Iterable[bytes]]
    hints: bool = False


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """A store that every assignment has: its name, the changelog topic that backs it, how else its rows are found."""

    name: str
    topic: str
    index: StoreIndex | None = None


def term(text: str) -> bytes:
    """Return a value as part of an entry: without the zero byte that ends it, and of bounded length."""
    data = text.encode("utf-8", "replace").replace(b"\x00", b"\xff")
    return data if len(data) <= _LONGEST else b"\xff" + hashlib.sha256(data).hexdigest().encode()


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
