"""Which deliveries were written already, so that a sender's repeat writes nothing, also when both arrive at once."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from streams.gateway.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

REMEMBERED: Final = 200_000
"""Deliveries to remember over all sources; the raw topics hold more, and workers drop repeats by event id as well."""

SIGNED_ID: Final = "ce_signedid"
"""The header of a raw delivery with the id that its signature covers, where the sender's own id is not signed."""

Delivered: TypeAlias = tuple[str, str]
"""A source and the sender's id of the delivery."""


class Deliveries:
    """The memory of one gateway; `remember` also takes in what the log shows of other gateways and earlier starts."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._written: Recent[Delivered, None] = Recent(size)
        self._signed: Recent[Delivered, str] = Recent(size)
        self._on_log: deque[tuple[str, str, str | None]] = deque(maxlen=size)
        self._under_way: dict[Delivered, asyncio.Future[bool]] = {}

    def __contains__(self, delivered: object) -> bool:
        """Return whether a source and delivery id are remembered."""
        self._take_in()
        return delivered in self._written

    def remember(self, source: str, delivery_id: str, signed_id: str | None = None) -> None:
        """Take in a delivery that is on the log; may be called in any thread, and wakes nobody."""
        self._on_log.append((source, delivery_id, signed_id))

    def first_id(self, source: str, delivery_id: str, signed_id: str | None) -> str:
        """Return the id under which a delivery came first; `signed_id` recognises it under any other id.

        The first id stays even if its write fails: whoever repeats the delivery repeats that one.
        """
        if signed_id is None:
            return delivery_id
        self._take_in()
        first = self._signed.get((source, signed_id))
        if first is not None:
            return first
        self._signed.put((source, signed_id), delivery_id)
        return delivery_id

    async def once(self, source: str, delivery_id: str, write: Callable[[], Awaitable[None]]) -> bool:
        """Run `write` unless the delivery was written; return whether this call wrote it.

        A repeat that comes while the first is under way waits for it, and takes over if it fails.
        """
        key = (source, delivery_id)
        while (first := self._under_way.get(key)) is not None:
            if await asyncio.shield(first):
                return False
        self._take_in()
        if key in self._written:
            return False
        done = self._under_way[key] = asyncio.get_running_loop().create_future()
        written = False
        try:
            await write()
            written = True
            self._written.put(key, None)
        finally:
            del self._under_way[key]
            done.set_result(written)
        return True

    def _take_in(self) -> None:
        while self._on_log:
            source, delivery_id, signed_id = self._on_log.popleft()
            self._written.put((source, delivery_id), None)
            if signed_id is not None:
                self._signed.put((source, signed_id), delivery_id)
