"""Faust's conductor handing whole batches, not single events, to the streams of a topic."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from faust.transport import conductor

from streams.runtime.assignment import SourcePartition
from streams.runtime.batch import RecordBatch

if TYPE_CHECKING:
    from streams.runtime.record import ConsumedRecord


class BatchInbox:
    """Batches waiting for one stream."""

    __slots__ = ("batches", "filled")

    def __init__(self) -> None:
        """Start empty."""
        self.batches: deque[RecordBatch] = deque()
        self.filled = asyncio.Event()

    def put(self, batch: RecordBatch) -> None:
        """Add a batch and wake the stream."""
        self.batches.append(batch)
        self.filled.set()

    async def get(self) -> RecordBatch:
        """Return the next batch of a live assignment."""
        while True:
            while self.batches:
                batch = self.batches.popleft()
                if batch.assignment.live and not batch.taken:
                    return batch
            self.filled.clear()
            await self.filled.wait()


def inbox_of(channel: Any) -> BatchInbox:
    """Return the channel's inbox, made at first use."""
    found = channel.__dict__.get("_streams_inbox")
    if found is None:
        found = channel._streams_inbox = BatchInbox()  # noqa: SLF001 - rides on Faust's channel, which has no slot for it
    return found  # type: ignore[no-any-return]


class Conductor(conductor.Conductor):
    """Routes batches by topic name."""

    app: Any
    _resubscribe_sleep_lock_seconds = 1.0

    def deliver(self, source: SourcePartition, messages: list[ConsumedRecord]) -> None:
        """Hand `messages` to each agent of the topic, growing a batch that nobody has begun."""
        channels = self._topic_name_index.get(source.topic) or ()
        for batch in self.app.runtime.batches(source, messages, len(channels)):
            for channel in channels:
                inbox_of(channel).put(batch)
