"""Dead letters: what could not be handled is kept whole, with its cause, in the unit that passes it by."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from schemas.dead import DeadLettered
from streams import clock
from streams.error_text import error_message, error_traceback, error_type
from streams.runtime.commit_unit import WHOLE_EVENT_BYTES

if TYPE_CHECKING:
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.commit_unit import CommitUnit
    from streams.runtime.record import ConsumedRecord
    from topics.names import Names

_ERROR_CHARS: Final = 2_000
_DIGITS: Final = re.compile(r"[0-9a-f]{8,}|\d+")


def fingerprint(consumer: str, error_type: str, message: str) -> str:
    """Return what equal failures share: numbers and ids in the message do not count."""
    plain = _DIGITS.sub("#", message)[:200]
    return hashlib.sha256(f"{consumer}\0{error_type}\0{plain}".encode()).hexdigest()[:16]


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
    kind, text = error_type(error), error_message(error, _ERROR_CHARS)
    headers = {
        name: value if isinstance(value, bytes) else str(value or "").encode()
        for name, value in message.headers() or ()
    }
    letter = DeadLettered(
        dead_id=f"{topic}-{partition}-{offset}-{consumer}",
        source_topic=topic,
        source_partition=partition,
        source_offset=offset,
        key=message.key(),
        value=message.value(),
        headers=headers,
        consumer=consumer,
        error=text,
        error_type=kind,
        traceback=error_traceback(error, frames=8, chars=4_000),
        attempts=attempts,
        fingerprint=fingerprint(consumer, kind, text),
        first_ms=clock.now_ms(),
    )
    writer.write(
        unit, writer.names.dead_letters, letter, id=letter.dead_id, key=letter.dead_id, limit=WHOLE_EVENT_BYTES
    )
