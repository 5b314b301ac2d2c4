"""Deletes grants and shared answers whose time is over, a little at a time."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Final

from streams import clock
from streams.worker.journal import LEDGER
from streams.worker.limits import answers, grants
from streams.worker.state.unit import Unit

if TYPE_CHECKING:
    from streams.worker.runtime import Runtime
    from streams.worker.state.slice import Slice

_PERIOD_S: Final = 60.0
_LOOK: Final = 1000  # rows of each kind and partition in one go
_SPARE_MS: Final = 10_000  # rows that are so long over that no clock can take them for good


class LimitSweep:
    """Goes round over the owned slices."""

    def __init__(self, runtime: Runtime) -> None:
        """Delete from the slices of `runtime`."""
        self._runtime = runtime
        self._next: dict[tuple[int, bytes], bytes] = {}

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(_PERIOD_S)
            for owned in list(self._runtime.slices.values()):
                if owned.live and owned.ready:
                    self.sweep(owned, clock.now_ms())

    def sweep(self, owned: Slice, now_ms: int) -> int:
        """Delete what is over in a slice and return how many rows that were."""
        unit = Unit(owned)
        store = owned.stores[LEDGER]
        for prefix in (grants.PREFIX, answers.PREFIX):
            place = (owned.partition, prefix)
            rows = list(islice(store.scan_committed(prefix, self._next.get(place)), _LOOK))
            self._next[place] = rows[-1][0] + b"\x00" if len(rows) == _LOOK else prefix
            for key, row in rows:
                over = int(row.split()[1]) if prefix == grants.PREFIX else answers.expiry(row)
                if over + _SPARE_MS < now_ms:
                    unit.put(store, key, None)
        if unit.writes:
            self._runtime.committer.add(unit)
        return len(unit.writes)
