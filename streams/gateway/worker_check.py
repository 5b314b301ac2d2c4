"""Whether there are workers for what waits: a check of `/readyz`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from streams.clock import monotonic
from streams.gateway.pools import no_worker
from topics.errors import TopicError

if TYPE_CHECKING:
    from streams.query.owners import Owners

_FRESH_S: Final = 5.0
"""Seconds for which what was found on the queues of a pool counts."""

_DEFAULT: Final = "default"

Waiting = Callable[[str, Sequence[str]], int]
"""Returns how many queues of a pool have records that its group has not handled; blocks; raises TopicError."""


class WorkerCheck:
    """Looks for a live worker of the default pool, and of each other pool that has runs waiting.

    The default pool is always needed: without it no event is handled and no schedule fires. A pool has runs waiting
    when its queues hold submissions, or when its workers had runs in memory by their last heartbeat.
    """

    def __init__(self, owners: Owners, queues: Mapping[str, Sequence[str]], waiting: Waiting) -> None:
        """Check the pools of `queues`, the names of their agents' topics."""
        self._owners = owners
        self._queues = {_DEFAULT: (), **queues}
        self._waiting = waiting
        self._seen: dict[str, tuple[float, bool]] = {}

    async def __call__(self) -> str | None:
        """Return None, or what lacks a worker."""
        live = self._owners.pools()
        lacking = [pool for pool in self._queues if pool not in live and await self._needed(pool)]
        return "; ".join(no_worker(pool)["reason"] for pool in sorted(lacking)) or None

    async def _needed(self, pool: str) -> bool:
        if pool == _DEFAULT or self._owners.last_running(pool):
            return True
        at, found = self._seen.get(pool, (-_FRESH_S, False))
        if monotonic() - at >= _FRESH_S:
            try:
                found = await asyncio.to_thread(self._waiting, pool, self._queues[pool]) > 0
            except TopicError:
                return False  # the check of the broker reports that
            self._seen[pool] = (monotonic(), found)
        return found
