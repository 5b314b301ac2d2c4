"""Durations read as words, so that no number in an agent needs a unit in a comment."""

from __future__ import annotations


def seconds(n: float) -> float:
    """Return n seconds as seconds."""
    return float(n)


def minutes(n: float) -> float:
    """Return n minutes as seconds."""
    return n * 60.0


def hours(n: float) -> float:
    """Return n hours as seconds."""
    return n * 3600.0


def days(n: float) -> float:
    """Return n days as seconds."""
    return n * 86400.0
