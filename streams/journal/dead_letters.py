"""Dead letters: what could not be handled is stored whole, with its cause, in the unit that passes it by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from schemas.dead import DeadLettered, fingerprint_of
from streams import clock
from streams.error_text import error_message, error_traceback, error_type
from streams.runtime.commit_unit import WHOLE_EVENT_BYTES
from streams.runtime.record import header_bytes

if TYPE_CHECKING:
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.commit_unit import CommitUnit
    from streams.runtime.record import ConsumedRecord
    from topics.names import Names

_ERROR_CHARS: Final = 2_000
_DIGITS: Final = re.compile(r"[0-9a-f]{8,}|\d+")


def failure(consumer: str, error: BaseException) -> dict[str, Any]:
    """Return the fields of a dead letter that say what went wrong; equal failures have one fingerprint.

    Numbers and ids in the message do not count for it.
    """
    kind, text = error_type(error), error_message(error, _ERROR_CHARS)
    plain = _DIGITS.sub("#", text)[:200]
    return {
        "consumer": consumer,
        "error": text,
        "error_type": kind,
        "traceback": error_traceback(error, frames=8, chars=4_000),
        "fingerprint": fingerprint_of(f"{consumer}\0{kind}\0{plain}"),
        "first_ms": clock.now_ms(),
    }


def taker_of(names: Names, topic: str) -> str:
    """Return the consumer of whatever comes on a source topic, as a redrive finds it: `events`, or an agent's name."""
    return names.bare(topic).removeprefix("agents.")


def dead_letter(
    unit: CommitUnit,
    writer: RecordWriter,
    message: ConsumedRecord,
    error: BaseException,
    consumer: str,
    *,
    attempts: int = 1,
) -> None:
    """Add the record, whole, to the unit that passes its offset (or ends its row)."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    letter = DeadLettered(
        dead_id=f"{topic}-{partition}-{offset}-{consumer}",
        source_topic=topic,
        source_partition=partition,
        source_offset=offset,
        key=message.key(),
        value=message.value(),
        headers=header_bytes(message),
        attempts=attempts,
        **failure(consumer, error),
    )
    writer.write(
        unit, writer.names.dead_letters, letter, id=letter.dead_id, key=letter.dead_id, limit=WHOLE_EVENT_BYTES
    )
