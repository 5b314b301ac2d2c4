"""Places in a topic as people write them: earliest, latest, an offset, or a time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from streams.errors import StreamsError
from topics.reader import Time

if TYPE_CHECKING:
    from topics.reader import Position


class PositionError(StreamsError):
    """Raised for a place in a topic that is none."""


def position(text: str) -> Position:
    """Return earliest or latest, an offset, or a time (ISO 8601; without zone it is local); PositionError else."""
    if text == "earliest":
        return "earliest"
    if text == "latest":
        return "latest"
    if text.isdecimal():
        return int(text)
    try:
        return Time(int(datetime.fromisoformat(text).astimezone().timestamp() * 1000))
    except ValueError:
        message = f"{text!r} is no place in a topic: give earliest, latest, an offset, or a time like 2026-01-31T12:00."
        raise PositionError(message) from None
