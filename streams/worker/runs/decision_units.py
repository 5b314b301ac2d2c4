"""The units of one decision: mostly one; several in order where it holds more than a transaction should.

Ten thousand children of a gather are begun in one turn. Each part has whole pieces (a call and its submission), and a
later part is never committed without the earlier ones, so a crash in between leaves a journal to go on from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streams.journal.store_keys import LEDGER
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.errors import UnitTooLargeError

if TYPE_CHECKING:
    from streams.runtime.assignment import PartitionAssignment

MOST_RECORDS: Final = 1000  # of a part, about
MOST_BYTES: Final = 1024 * 1024
Row = tuple[bytes, bytes]


class DecisionUnits:
    """Collects rows and outputs; nothing is written before `write`."""

    def __init__(self, owned: PartitionAssignment, given: CommitUnit | None) -> None:
        """Collect for `given` alone or, without it, for as many units of `owned` as are needed."""
        self._owned = owned
        self._given = given
        self.units: list[CommitUnit] = [CommitUnit(owned) if given is None else given]
        self._rows: list[tuple[CommitUnit, bytes, bytes]] = []
        self._count = self._size = 0  # rows of the last part
        self._mark = self.last.mark()

    @property
    def last(self) -> CommitUnit:
        """Return the unit that is being filled."""
        return self.units[-1]

    def next(self) -> CommitUnit:
        """Return the unit for the next piece."""
        last = self.last
        full = self._count + len(last.outs) >= MOST_RECORDS or self._size + last.size >= MOST_BYTES
        if full and self._given is None:
            self.units.append(CommitUnit(self._owned))
            self._count = self._size = 0
        return self.last

    def rows(self, unit: CommitUnit, rows: list[Row]) -> None:
        """Collect rows for `unit`; raises UnitTooLargeError."""
        self._count += len(rows)
        for key, row in rows:
            self._size += len(key) + len(row)
            self._rows.append((unit, key, row))
        if self._size + unit.size > unit.LIMIT:
            raise UnitTooLargeError(f"over {unit.LIMIT} bytes must be committed at once: use smaller steps")

    def rollback(self) -> None:
        """Take back what was sent into the given unit."""
        if self._given is not None:
            self._given.rollback(self._mark)

    def write(self) -> CommitUnit:
        """Write the rows; return the last unit."""
        ledger = self._owned.stores[LEDGER]
        for unit, key, row in self._rows:
            unit.put(ledger, key, row)
        return self.last
