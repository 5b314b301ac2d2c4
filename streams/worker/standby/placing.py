"""Tells the standbys, once a second, of which partitions this worker keeps copies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from streams.worker.standby.choice import chosen

if TYPE_CHECKING:
    from streams.worker.limits.peers import Peers
    from streams.worker.runtime import Runtime

_PERIOD_S: Final = 1.0  # workers beat as often


class Placing:
    """Chooses by the heartbeats of the pool."""

    def __init__(self, runtime: Runtime, peers: Peers) -> None:
        """Choose for `runtime` among its `peers`."""
        self._runtime = runtime
        self._peers = peers

    async def run(self) -> None:
        """Choose until cancelled; returns at once where no copies are kept."""
        await self._runtime.opened.wait()
        standbys = self._runtime.standbys
        if standbys is None:
            return
        while True:
            await asyncio.sleep(_PERIOD_S)
            if self._peers.settled():
                members = self._peers.members()
                standbys.want(wanted(members, self._peers.id, standbys.copies, standbys.kept))


def wanted(
    members: Mapping[str, frozenset[int]], me: str, copies: int, kept: Callable[[], frozenset[int]]
) -> frozenset[int]:
    """Return the partitions that `me` keeps a copy of: those it is chosen for, and those it has while nobody owns them.

    Between the death of an owner and the heartbeat of the next a copy is needed most.
    """
    mine = {number for number, keepers in chosen(members, copies).items() if me in keepers}
    owned = frozenset().union(*members.values())
    return frozenset(mine | (kept() - owned))
