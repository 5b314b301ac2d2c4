"""Journals that are asked for again and again, decoded once: a run that is watched grows by a few entries a look."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from streams.engine.entry import Entry
    from streams.journal.journal_store import JournalStore
    from streams.runtime.assignment import PartitionAssignment

MOST_BYTES: Final = 4 * 1024 * 1024
"""Bytes of rows whose entries are cached, over all runs; decoded they take a few times that."""


class _CachedJournal(NamedTuple):
    owned: PartitionAssignment
    rows: dict[bytes, tuple[bytes, Entry]]
    size: int


class JournalCache:
    """The committed entries of runs, those looked at last; a row is decoded anew only where its bytes have changed."""

    def __init__(self, journal: JournalStore, most: int = MOST_BYTES) -> None:
        self._journal = journal
        self._most = most
        self._cached: OrderedDict[str, _CachedJournal] = OrderedDict()
        self._size = 0

    def entries(self, owned: PartitionAssignment, run_id: str) -> list[Entry]:
        """Return a run's committed entries in log order; they belong to all who ask, so nobody may change them."""
        known = self._forget(run_id, owned)
        rows: dict[bytes, tuple[bytes, Entry]] = {}
        size = 0
        for key, row in self._journal.rows(owned, run_id):
            before = known.get(key)
            rows[key] = before if before is not None and before[0] == row else (row, self._journal.decode(row))
            size += len(row)
        self._keep(run_id, _CachedJournal(owned, rows, size))
        return sorted((entry for _, entry in rows.values()), key=lambda entry: entry.seq)

    def _forget(self, run_id: str, owned: PartitionAssignment) -> dict[bytes, tuple[bytes, Entry]]:
        cached = self._cached.pop(run_id, None)
        if cached is None:
            return {}
        self._size -= cached.size
        return cached.rows if cached.owned is owned else {}

    def _keep(self, run_id: str, cached: _CachedJournal) -> None:
        if not cached.rows or cached.size > self._most:
            return
        self._cached[run_id] = cached
        self._size += cached.size
        while self._size > self._most:
            _, gone = self._cached.popitem(last=False)
            self._size -= gone.size
