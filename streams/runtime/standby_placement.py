"""Chooses, once a second, the partitions of which this worker has standby copies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from streams.runtime.standby_choice import chosen

if TYPE_CHECKING:
    from streams.runtime.runtime import Runtime

_PERIOD_S: Final = 1.0  # workers beat as often


class PoolWorkers(Protocol):
    """The live workers of the pool, as their heartbeats report."""

    @property
    def id(self) -> str:
        """The id of this worker."""

    def settled(self) -> bool:
        """Return whether every live worker has sent a heartbeat."""

    def members(self) -> Mapping[str, frozenset[int]]:
        """Return the partitions that each worker owns, by its id."""


class StandbyPlacement:
    """Chooses by the heartbeats of the pool."""

    def __init__(self, runtime: Runtime, workers: PoolWorkers) -> None:
        """Choose for `runtime` among the `workers` of its pool."""
        self._runtime = runtime
        self._workers = workers

    async def run(self) -> None:
        """Choose until cancelled; returns at once where no copies are wanted."""
        await self._runtime.opened.wait()
        standbys = self._runtime.standbys
        if standbys is None:
            return
        while True:
            await asyncio.sleep(_PERIOD_S)
            if self._workers.settled():
                members = self._workers.members()
                standbys.want(wanted(members, self._workers.id, standbys.copies, standbys.copied_partitions))


def wanted(
    members: Mapping[str, frozenset[int]], me: str, copies: int, copied: Callable[[], frozenset[int]]
) -> frozenset[int]:
    """Return the partitions that `me` has a copy of: those it is chosen for, and those it has while nobody owns them.

    Between the death of an owner and the heartbeat of the next a copy is needed most.
    """
    mine = {number for number, keepers in chosen(members, copies).items() if me in keepers}
    owned = frozenset().union(*members.values())
    return frozenset(mine | (copied() - owned))
