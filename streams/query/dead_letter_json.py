"""A dead letter as JSON for people: a line of a list, a group of equal failures, or the whole."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from schemas.errors import SchemaError
from streams.clock import iso
from streams.query.history import plain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from streams.query.dead_letters import DeadLetter

    class Reader(Protocol):
        """Decodes bytes for people."""

        def fields(self, value: bytes) -> dict[str, Any]: ...  # noqa: D102


def shown(found: DeadLetter) -> dict[str, Any]:
    """Return what a list shows: the cause and the place, without the record itself."""
    letter = found.letter
    return {
        "dead_id": letter.dead_id,
        "state": found.state,
        "redrives": found.redrives,
        "consumer": letter.consumer,
        "error_type": letter.error_type,
        "error": letter.error,
        "attempts": letter.attempts,
        "fingerprint": letter.fingerprint,
        "run_id": letter.run_id,
        "source_topic": letter.source_topic,
        "source_partition": letter.source_partition,
        "source_offset": letter.source_offset,
        "key": plain(letter.key),
        "first_ms": letter.first_ms,
        "topic": found.topic,
        "partition": found.partition,
        "offset": found.offset,
        "time": iso(found.at_ms),
    }


def whole(found: DeadLetter, reader: Reader) -> dict[str, Any]:
    """Return everything: the value decoded as `data`, or why it cannot be read, with its bytes in base64."""
    letter = found.letter
    headers = {name: plain(value) for name, value in letter.headers.items()}
    with_error = {**shown(found), "traceback": letter.traceback, "headers": headers, "type": headers.get("ce_type")}
    if letter.value is None:
        return {**with_error, "data": None}
    raw = base64.b64encode(letter.value).decode()
    try:
        return {**with_error, "data": plain(reader.fields(letter.value)), "value": raw}
    except SchemaError as error:
        return {**with_error, "data": None, "undecodable": str(error), "value": raw}


def grouped(letters: Sequence[DeadLetter]) -> list[dict[str, Any]]:
    """Return one row for each fingerprint of dead letters that come newest first, the most frequent first."""
    rows: dict[str, dict[str, Any]] = {}
    for found in letters:
        letter = found.letter
        row = rows.setdefault(
            letter.fingerprint,
            {
                "fingerprint": letter.fingerprint,
                "count": 0,
                "open": 0,
                "consumer": letter.consumer,
                "error_type": letter.error_type,
                "error": letter.error,
                "dead_id": letter.dead_id,
                "last": iso(found.at_ms),
            },
        )
        row["count"] += 1
        row["open"] += found.state == "open"
    return sorted(rows.values(), key=lambda row: -row["count"])
