"""Puts many records under way at once and says when the broker has them all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from streams.clock import now_ms
from topics.producer import EventProducer

if TYPE_CHECKING:
    from streams.replay.log import Log

_AT_ONCE: Final = 500  # records under way


class Outbox:
    """A producer for a replay, whose lanes share it."""

    def __init__(self, log: Log, source: str) -> None:
        self._under_way: list[Coroutine[Any, Any, Any]] = []
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
        """Write a record some time before the next flush ends; raises as the producer does."""
        self._under_way.append(self._producer.send_raw(topic, value, key=key, headers=headers, partition=partition))
        if len(self._under_way) >= _AT_ONCE:
            await self.flush()

    async def flush(self) -> None:
        """Wait until the broker has acknowledged all that was put before, by whomever; raises what it refused."""
        async with self._flushing:  # another lane's flush may have taken what this one put
            waiting, self._under_way = self._under_way, []
            await asyncio.gather(*waiting)

    async def close(self) -> None:
        """Stop the producer; what was not flushed is not written."""
        for waiting in self._under_way:
            waiting.close()
        await self._producer.close()
