"""A record as the worker's code sees it: librdkafka's message, without the Nones that only errors and events have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

#: What a record in memory weighs beside its value.
_RECORD_BYTES: Final = 2048


class ConsumedRecord(Protocol):
    """One record that was read; librdkafka's `Message` is one once `error()` is None."""

    def __len__(self) -> int:
        """Return the value's length in bytes."""

    def topic(self) -> str:
        """Return the topic."""

    def partition(self) -> int:
        """Return the partition number."""

    def offset(self) -> int:
        """Return the offset."""

    def key(self) -> bytes | None:
        """Return the key."""

    def value(self) -> bytes | None:
        """Return the value."""

    def headers(self) -> list[tuple[str, bytes | str | None]] | None:
        """Return the headers, in order."""

    def timestamp(self) -> tuple[int, int]:
        """Return the kind of timestamp and the milliseconds since the epoch."""


def weight_of(records: Sequence[ConsumedRecord]) -> int:
    """Return what records weigh while they are in flight, in bytes."""
    return sum(map(len, records)) + _RECORD_BYTES * len(records)


def header_bytes(record: ConsumedRecord) -> dict[str, bytes]:
    """Return the headers of a record by name, each as bytes."""
    return {
        name: value if isinstance(value, bytes) else str(value or "").encode() for name, value in record.headers() or ()
    }
