"""Indexes: other ways to find the rows of a store, stored beside it and made of its rows alone.

An entry is a key without a value. Entries are written in the batch that writes their rows, so a query finds what the
rows say; they have no changelog, because the rows that come from it make them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

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
