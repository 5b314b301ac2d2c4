"""Finds the record whose output the broker rejects, and passes it by as a dead letter.

A refused batch is read again, record by record, up to its end; a record that is refused alone is given to nobody any
more but becomes a dead letter. Its neighbours pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.runtime.assignment import SourcePartition
    from streams.runtime.batch import RecordBatch
    from streams.runtime.record import ConsumedRecord

Place = tuple[str, int]


class RejectedOutputIsolation:
    """The rejections so far. It outlives assignments, because a rejection ends the assignment in which it happened."""

    def __init__(self) -> None:
        """Start without rejections."""
        self._alone_until: dict[Place, int] = {}
        self._refused: dict[tuple[str, int, int], Exception] = {}

    def refused(self, batch: RecordBatch, error: Exception) -> None:
        """Note a batch that was refused by itself."""
        place = (batch.source.topic, batch.assignment.partition)
        if len(batch.messages) == 1:
            self._refused[(*place, batch.messages[0].offset())] = error
        else:
            self._alone_until[place] = batch.next

    def split(self, source: SourcePartition, messages: list[ConsumedRecord]) -> list[list[ConsumedRecord]]:
        """Return the messages as the batches they may form: whole, unless their source is being looked through."""
        place = (source.topic, source.partition)
        until = self._alone_until.get(place)
        if until is None:
            return [messages]
        single = [[message] for message in messages if message.offset() < until]
        if len(single) == len(messages):
            return single
        del self._alone_until[place]
        return [*single, messages[len(single) :]]

    def error(self, messages: list[ConsumedRecord]) -> Exception | None:
        """Return why a record that comes alone was refused before, if it was; it is forgotten by that."""
        if not self._refused or len(messages) != 1:
            return None
        return self._refused.pop((messages[0].topic(), messages[0].partition(), messages[0].offset()), None)
