"""Faust's stream over batches: the same declarations, another transport below."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import faust
from faust.events import Event as FaustEvent
from faust.exceptions import Skip
from faust.streams import _current_event
from faust.types import TP
from mode.utils.futures import maybe_async

from streams.runtime.batch import CURRENT, RecordBatch
from streams.runtime.faust.conductor import inbox_of

if TYPE_CHECKING:
    from streams.runtime.record import ConsumedRecord


class BatchEvent(FaustEvent):
    """A Faust event whose message and headers are made only when asked for."""

    app: Any

    __slots__ = ("batch", "record")

    def __init__(self, app: Any, batch: RecordBatch, record: ConsumedRecord) -> None:
        """Show `record` of `batch` as an event; keys and values are bytes."""
        self.app = app
        self.batch = batch
        self.record = record
        self.key = record.key()
        self.value = record.value()
        self.acked = False

    @property
    def headers(self) -> Any:
        """Return the record's headers."""
        return dict(list(self.record.headers() or ()))

    @headers.setter
    def headers(self, value: Any) -> None:
        raise AttributeError("headers of a received event are as they came")

    @property
    def message(self) -> Any:
        """Return Faust's message."""
        place = TP(self.batch.source.topic, self.batch.assignment.partition)
        return self.app.consumer._to_message(place, self.record)  # noqa: SLF001 - the same seam

    @message.setter
    def message(self, value: Any) -> None:
        raise AttributeError("the message of a received event is as it came")

    def ack(self) -> bool:
        """Do nothing: the batch is acknowledged as a whole, by its commit."""
        return True


class Stream(faust.Stream):
    """Iterates batches that the conductor put into the channel's inbox.

    A batch is done when the loop body comes back for the next one. A body that raises drops the open work of the
    partition and has it read again: nothing of a half-handled batch counts.
    """

    app: Any

    async def batches(self) -> AsyncIterator[RecordBatch]:
        """Yield whole batches, for handlers that want to pay per batch and not per event."""
        self._finalized = True
        started = await self.maybe_start()
        inbox = inbox_of(self.channel)
        batch: RecordBatch | None = None
        try:
            while not self.should_stop:
                batch = await inbox.get()
                if batch.withdrawn:  # nothing of it would be committed, but what followed from it in memory would
                    batch = None
                    continue
                batch.started = True
                CURRENT.set(batch)
                yield batch
                done, batch = batch, None
                if not done.rejected:
                    done.done()
                await asyncio.sleep(0)  # a full inbox would hold the loop until it is empty
        finally:
            if (
                batch is not None
                and not batch.sealed
                and not batch.rejected
                and batch.assignment.live
                and not self.app.should_stop
            ):
                self.app.runtime.renew(batch.assignment)
            if started:
                await self.stop()
                self.service_reset()

    async def events(self) -> AsyncIterator[BatchEvent]:
        """Yield events one by one."""
        app, processors, current = self.app, self._processors, _current_event.set
        async for batch in self.batches():
            for record in batch.messages:
                if not batch.assignment.live:
                    break
                event = BatchEvent(app, batch, record)
                current(weakref.ref(event))
                self.current_event = event
                if processors and not await self._processed(event):
                    continue
                yield event

    async def _processed(self, event: BatchEvent) -> bool:
        try:
            for processor in self._processors:
                event.value = await maybe_async(processor(event.value))
        except Skip:
            return False
        return True

    async def _values(self) -> AsyncIterator[Any]:
        async for event in self.events():
            yield event.value

    def __aiter__(self) -> AsyncIterator[Any]:
        """Iterate values, as Faust's streams do."""
        return self._values()
