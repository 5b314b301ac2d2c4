"""Deletes grants and shared answers whose time is over: as many as there are, in pieces that let others work.

Shared answers are found by their expiry, in order, so a look costs what it deletes. Grants are few: those of a limit
that is in use go with its next grant, and only the rest is looked for here.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Final

from streams import clock
from streams.journal import store_keys
from streams.journal.store_keys import LEDGER
from streams.limits import shared_answers
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.commit_wait import committed
from streams.runtime.errors import DeadAssignmentError

if TYPE_CHECKING:
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.runtime import Runtime

_PERIOD_S: Final = 60.0
_LOOK: Final = 1000  # rows in one unit
_SPARE_MS: Final = 10_000  # rows that are so long over that no clock can take them for good


class LimitSweep:
    """Goes round over the owned assignments."""

    def __init__(self, runtime: Runtime) -> None:
        """Delete from the assignments of `runtime`."""
        self._runtime = runtime
        self._listed: set[PartitionAssignment] = set()  # assignments in which all answers are found by their expiry

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(_PERIOD_S)
            for owned in list(self._runtime.assignments.values()):
                if owned.live and owned.ready:
                    await self.sweep(owned, clock.now_ms())

    async def sweep(self, owned: PartitionAssignment, now_ms: int) -> int:
        """Delete what is over in an assignment, piece by piece; return how many rows that were."""
        deleted = 0
        try:
            for find in (self._unlisted, self._answers, self._grants):
                start: bytes | None = b""
                while start is not None and owned.live:
                    unit = CommitUnit(owned)
                    start = find(owned, unit, now_ms - _SPARE_MS, start)
                    if unit.writes:
                        deleted += len(unit.writes)
                        await committed(self._runtime.committer, unit)
                    await asyncio.sleep(0)
        except DeadAssignmentError:
            return deleted  # the new owner goes on with it
        return deleted

    @staticmethod
    def _answers(owned: PartitionAssignment, unit: CommitUnit, over_ms: int, _start: bytes) -> bytes | None:
        """Delete the first answers by expiry; return whether there may be more: what is deleted is not found again."""
        store, found = owned.stores[LEDGER], 0
        for listed, _ in islice(store.scan_committed(store_keys.SHARED_ANSWER_EXPIRY), _LOOK):
            expiry_ms, call = shared_answers.listed(listed)
            if expiry_ms >= over_ms:
                return None
            row = store.get(shared_answers.key_of(call))  # through the overlay: a new answer may be on its way
            if row is not None and shared_answers.expiry(row) <= expiry_ms:
                unit.put(store, shared_answers.key_of(call), None)
            unit.put(store, listed, None)
            found += 1
        return b"" if found == _LOOK else None

    @staticmethod
    def _grants(owned: PartitionAssignment, unit: CommitUnit, over_ms: int, start: bytes) -> bytes | None:
        store = owned.stores[LEDGER]
        rows = list(islice(store.scan_committed(store_keys.RATE_GRANT, start or None), _LOOK))
        for key, row in rows:
            if int(row.split()[1]) < over_ms:
                unit.put(store, key, None)
        return rows[-1][0] + b"\x00" if len(rows) == _LOOK else None

    def _unlisted(self, owned: PartitionAssignment, unit: CommitUnit, _over_ms: int, start: bytes) -> bytes | None:
        """Index by expiry, once for each assignment, the answers that an older version stored without that index."""
        if owned in self._listed:
            return None
        store = owned.stores[LEDGER]
        rows = list(islice(store.scan_committed(store_keys.SHARED_ANSWER, start or None), _LOOK))
        for key, row in rows:
            listed = shared_answers.listed_key(
                key.removeprefix(store_keys.SHARED_ANSWER).decode(), shared_answers.expiry(row)
            )
            if store.get(listed) is None:
                unit.put(store, listed, b"1")
        if len(rows) == _LOOK:
            return rows[-1][0] + b"\x00"
        self._listed.add(owned)
        owned.on_death.append(lambda: self._listed.discard(owned))
        return None
