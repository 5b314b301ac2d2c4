"""Reads dead letters from the log and groups them by what went wrong."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from streams.cli.log import open_log
from streams.cli.tail import decoded
from streams.errors import StreamsError
from topics.reader import read


class NoSuchLetter(StreamsError):
    """Raised for an id that no dead letter has, or more than one."""


def letters(limit: int | None = None) -> list[dict[str, Any]]:
    """Return the dead letters on the log, the newest first; those that were discarded since are no more there."""
    log = open_log()
    found: deque[dict[str, Any]] = deque(maxlen=limit)
    for event in decoded(log, read(log.kafka, log.names.dead_letters, start="earliest", end="latest")):
        if isinstance(event.get("data"), dict):
            found.append({**event["data"], "at": event["timestamp"]})
    return list(reversed(found))


def grouped(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each fingerprint, the most frequent first."""
    counts = Counter(letter["fingerprint"] for letter in found)
    newest = {letter["fingerprint"]: letter for letter in reversed(found)}
    return [
        {
            "count": count,
            "fingerprint": fingerprint,
            "consumer": newest[fingerprint]["consumer"],
            "error_type": newest[fingerprint]["error_type"],
            "error": newest[fingerprint]["error"],
            "last": newest[fingerprint]["at"],
        }
        for fingerprint, count in counts.most_common()
    ]


def find(id: str) -> dict[str, Any]:
    """Return the dead letter with this id, or the only one whose id begins so; NoSuchLetter else."""
    found = [letter for letter in letters() if letter["dead_id"].startswith(id)]
    if len(found) != 1:
        what = "No dead letter has" if not found else f"{len(found)} dead letters have"
        message = f"{what} an id that begins with {id!r}: `streams dead list` shows them."
        raise NoSuchLetter(message)
    return found[0]
