"""A record as the worker's code sees it: librdkafka's message, without the Nones that only errors and events have."""

from __future__ import annotations

from typing import Protocol


class Record(Protocol):
    """One record that was read; librdkafka's `Message` is one once `error()` is None."""

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
