"""Places in a topic as people write them: earliest, latest, an offset, or a time, which may be so long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from streams.clock import now_ms
from streams.errors import StreamsError
from topics.reader import Time

if TYPE_CHECKING:
    from topics.reader import Position


class PositionArgumentError(StreamsError):
    """Raised for a place in a topic that is none."""


_AGO: Final = re.compile(r"([0-9]{1,9})(s|m|h|d|w)")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str) -> datetime:
    """Return a time in UTC: ISO 8601 (without zone it is local), or how long ago (`90s`, `5m`, `1h`, `2d`, `1w`).

    Raises PositionError for another text.
    """
    try:
        if found := _AGO.fullmatch(text):
            return datetime.fromtimestamp(now_ms() / 1000, UTC) - timedelta(**{_UNITS[found[2]]: int(found[1])})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{text!r} is no time: give one like 2026-01-31T12:00, or how long ago: 90s, 5m, 1h, 2d."
        raise PositionArgumentError(message) from None


def position(text: str) -> Position:
    """Return earliest or latest, an offset, or a time as `moment` reads it; PositionError else."""
    if text == "earliest":
        return "earliest"
    if text == "latest":
        return "latest"
    if text.isdecimal():
        return int(text)
    try:
        return Time(int(moment(text).timestamp() * 1000))
    except PositionArgumentError:
        message = (
            f"{text!r} is no place in a topic: give earliest, latest, an offset, a time like 2026-01-31T12:00, "
            f"or how long ago: 90s, 5m, 1h, 2d."
        )
        raise PositionArgumentError(message) from None
