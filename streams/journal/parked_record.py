"""A record that was stored as a row of the journal's store, as it was fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.parked_event import ParkedEvent
from streams.runtime.record import header_bytes

if TYPE_CHECKING:
    from streams.runtime.record import ConsumedRecord


@dataclass(slots=True)
class ParkedRecord:
    """A record rebuilt from its row; reads like one that was just fetched."""

    row: ParkedEvent

    def __len__(self) -> int:
        """Return the value's length in bytes."""
        return len(self.row.value or b"")

    def topic(self) -> str:
        """Return the source topic."""
        return self.row.source_topic

    def partition(self) -> int:
        """Return the source partition."""
        return self.row.source_partition

    def offset(self) -> int:
        """Return the source offset."""
        return self.row.source_offset

    def key(self) -> bytes | None:
        """Return the key."""
        return self.row.key

    def value(self) -> bytes | None:
        """Return the value."""
        return self.row.value

    def headers(self) -> list[tuple[str, bytes | str | None]]:
        """Return the headers."""
        return list(self.row.headers.items())

    def timestamp(self) -> tuple[int, int]:
        """Return the record's time."""
        return 1, self.row.timestamp_ms


def parked(
    record: ConsumedRecord,
    consumer: str,
    *,
    lane: str = "",
    event_id: str = "",
    first_ms: int = 0,
    attempt: int = 1,
    due_ms: int = 0,
) -> ParkedEvent:
    """Return the row of a record that `consumer` handles later, whole."""
    return ParkedEvent(
        reaction=consumer,
        lane=lane,
        event_id=event_id,
        source_topic=record.topic(),
        source_partition=record.partition(),
        source_offset=record.offset(),
        key=record.key(),
        value=record.value(),
        headers=header_bytes(record),
        timestamp_ms=record.timestamp()[1],
        attempt=attempt,
        due_ms=due_ms,
        first_ms=first_ms,
    )
