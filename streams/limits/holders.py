"""Who holds permits, leases and budget holds, and when a holder is gone.

A holder is one start of a worker process: a restart in the same slot is another holder. Heartbeats are the hint, the
consumer group is the proof: a holder whose heartbeats are missing is looked up among the members of its group, and one
that is no member any more holds nothing. So what a dead worker held is free as soon as the group has expelled it, and
a worker that is slow, or whose heartbeats are late, retains what it holds. A worker that was stopped and comes back
counts again from its next request on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol, Self

from streams.query.placement import Presence

log = logging.getLogger(__name__)

PERIOD_S: Final = 1.0  # between two looks at the holders; a look that finds all heartbeats asks nobody


class Holder(NamedTuple):
    """One start of a worker: its pool, its slot's name for the cluster, and when it started (ms since the epoch)."""

    pool: str
    slot: str
    started_ms: int

    def __str__(self) -> str:
        """Return it as it travels; it is also the `client.id` of the group's member."""
        return f"{self.pool}/{self.slot}/{self.started_ms}"

    @property
    def worker_id(self) -> str:
        """Return the id of its heartbeats, which a restart in the same slot shares."""
        return f"{self.pool}.{self.slot}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read it back; None for a name of an older version, which is not followed: its holds have only their time."""
        parts = text.split("/")
        if len(parts) != 3 or not parts[2].isdecimal():
            return None
        return cls(parts[0], parts[1], int(parts[2]))


Members = Callable[[str], Awaitable[frozenset[str] | None]]  # of a pool's group, by client id; None when unknown


class HolderHome(Protocol):
    """What keeps permits, leases or holds for others."""

    def holders(self) -> Iterable[str]:
        """Return who holds something here."""

    def left(self, holder: str) -> None:
        """Release all that a holder held."""


class HolderWatch:
    """Looks after the holders of the homes in one worker."""

    def __init__(
        self,
        own: Holder,
        presence: Callable[[Holder], Presence],
        members: Members,
        homes: Sequence[HolderHome],
    ) -> None:
        """`presence` judges by heartbeats, `members` returns the client ids in a pool's group, None when unknown."""
        self._own = own
        self._presence = presence
        self._members = members
        self._homes = homes

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_S)
            await self.look()

    async def look(self) -> None:
        """Release what is held by holders that are gone."""
        held = {Holder.parse(text) for home in self._homes for text in home.holders()} - {None, self._own}
        silent: dict[str, list[Holder]] = {}
        for holder in held:
            if holder is None:
                continue
            presence = self._presence(holder)
            if presence is Presence.REPLACED:
                self._left(holder, "its slot has another process")
            elif presence is Presence.SILENT:
                silent.setdefault(holder.pool, []).append(holder)
        for pool, holders in silent.items():
            await self._ask_group(pool, holders)

    async def _ask_group(self, pool: str, holders: list[Holder]) -> None:
        """Compare holders, all known before the question, with the group's members.

        An answer without this worker itself is no proof: the group may be loading, or this worker is no member and so
        no home any more.
        """
        members = await self._members(pool)
        if members is None or (pool == self._own.pool and str(self._own) not in members):
            return
        for holder in holders:
            if str(holder) not in members:
                self._left(holder, "it is no member of its group any more")

    def _left(self, holder: Holder, why: str) -> None:
        log.info("what worker %s held is free: %s", holder, why)
        for home in self._homes:
            home.left(str(holder))
