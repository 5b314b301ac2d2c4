"""What was made of a topic's records: each record once, however often a test looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from streams.runtime.record import ConsumedRecord
from tests.faults.rig.log import Log

T = TypeVar("T")


class Seen(Generic[T]):
    """Decodes what is new in a log at each look; a poll of thousands of records costs only those that came since."""

    def __init__(self, log: Log, make: Callable[[ConsumedRecord], T | None]) -> None:
        """Look at nothing yet; a record of which `make` makes None is left out."""
        self._log = log
        self._make = make
        self._next = 0
        self._made: list[T] = []

    async def all(self) -> list[T]:
        """Return what was made of all records that are committed so far."""
        records = await self._log.all()
        for record in records[self._next :]:
            made = self._make(record)
            if made is not None:
                self._made.append(made)
        self._next = len(records)
        return self._made
