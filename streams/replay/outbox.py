"""Puts many records under way at once and says when the broker has them all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from streams.clock import now_ms
from topics.producer import EventProducer, Pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.replay.log import ReplayLog

_AT_ONCE: Final = 500  # records under way


class Outbox:
    """A producer for a replay, whose lanes share it."""

    def __init__(self, log: ReplayLog, source: str) -> None:
        self._under_way: list[Pending] = []
        self._flushing = asyncio.Lock()
        self._producer = EventProducer(log.config, log.codec, source, now_ms=now_ms)

    async def put(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] | None = None,
        partition: int | None = None,
    ) -> None:
        """Put a record under way; it is there once a flush that begins later has ended. Raises as the producer does."""
        self._under_way.append(self._producer.begin_raw(topic, value, key=key, headers=headers, partition=partition))
        if len(self._under_way) >= _AT_ONCE:
            await self.flush()

    async def flush(self) -> None:
        """Wait until the broker has acknowledged all that was put before, by whomever; raises what it refused."""
        async with self._flushing:  # another lane's flush may have taken what this one put
            waiting, self._under_way = self._under_way, []
            for one in waiting:
                await one.acknowledged()

    async def close(self) -> None:
        """Stop the producer once the broker has, or refuses, what is under way."""
        await self._producer.close()
