"""CloudEvents attributes of a record, and their form as Kafka headers (CloudEvents Kafka binding, binary mode)."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from schemas.errors import SchemaError
from schemas.trace_context import derived

CONTENT_TYPE = "application/avro"
SPEC_VERSION = "1.0"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SECOND = timedelta(seconds=1)
_OWN = frozenset({"ce_id", "ce_type", "ce_source", "ce_time", "ce_specversion", "content-type", "traceparent"})
_FIXED: list[tuple[str, bytes]] = [
    ("ce_specversion", SPEC_VERSION.encode()),
    ("content-type", CONTENT_TYPE.encode()),
]


def new_id() -> str:
    """Return a random event id: 32 hexadecimal digits."""
    return uuid.uuid4().hex


def rfc3339(time_ms: int) -> str:
    """Return milliseconds since the epoch as an RFC 3339 time in UTC, such as 2026-11-24T19:46:08.123Z."""
    return f"{_second(time_ms // 1000)}.{time_ms % 1000:03d}Z"


@lru_cache(maxsize=64)
def _second(time_s: int) -> str:
    """Return a whole second as text; many records are written within one."""
    return (_EPOCH + time_s * _SECOND).strftime("%Y-%m-%dT%H:%M:%S")


def milliseconds(text: str) -> int:
    """Return an RFC 3339 time as milliseconds since the epoch; raises SchemaError if it is none or has no offset."""
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND
    except (ValueError, TypeError, OverflowError) as error:
        message = f"ce_time {text[:40]!r} is not an RFC 3339 time with an offset, such as 2026-11-24T19:46:08Z"
        raise SchemaError(message) from error


def headers_of(
    id: str, type: str, source: str, time: int, traceparent: str | None = None, extra: Mapping[str, str] | None = None
) -> list[tuple[str, bytes]]:
    """Return attributes as the headers of a Kafka record, for those who write many and need no object of each.

    A record that comes from nowhere in particular begins a trace of its own.
    """
    headers = [
        ("ce_id", id.encode()),
        ("ce_type", type.encode()),
        ("ce_source", source.encode()),
        ("ce_time", rfc3339(time).encode()),
        *_FIXED,
    ]
    headers.append(("traceparent", (derived(id).header if traceparent is None else traceparent).encode()))
    if extra:
        headers.extend((name, value.encode()) for name, value in extra.items())
    return headers


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a record says about itself beside its value.

    ``time`` is in milliseconds since the epoch. ``traceparent`` is the W3C trace context. ``extra`` holds the other
    headers, under their own names.
    """

    id: str
    type: str
    source: str
    time: int
    traceparent: str | None = None
    extra: dict[str, str] = field(default_factory=dict)

    def to_headers(self) -> list[tuple[str, bytes]]:
        """Return the headers of the Kafka record."""
        return headers_of(self.id, self.type, self.source, self.time, self.traceparent, self.extra)

    @classmethod
    def from_headers(
        cls, headers: Iterable[tuple[str, bytes | str | None]] | None, *, default_time: int | None = None
    ) -> "Attributes":
        """Return the attributes that Kafka headers hold; of a repeated header the last counts.

        ``default_time`` (ms, usually the record's own) stands in for ``ce_time``, which CloudEvents makes optional.
        Raises SchemaError naming the missing or wrong attribute.
        """
        texts = {
            name: value if isinstance(value, str) else value.decode("utf-8", "replace")
            for name, value in headers or ()
            if value is not None
        }
        for name in ("ce_specversion", "ce_id", "ce_type", "ce_source"):
            if not texts.get(name):
                message = f"the record has no {name} header: it is not a CloudEvent in binary mode"
                raise SchemaError(message)
        if texts["ce_specversion"] != SPEC_VERSION:
            message = f"ce_specversion is {texts['ce_specversion'][:10]!r}; only {SPEC_VERSION} is understood"
            raise SchemaError(message)
        return cls(
            id=texts["ce_id"],
            type=texts["ce_type"],
            source=texts["ce_source"],
            time=_time(texts.get("ce_time"), default_time),
            traceparent=texts.get("traceparent"),
            extra={name: text for name, text in texts.items() if name not in _OWN},
        )


def _time(text: str | None, default: int | None) -> int:
    if text is not None:
        return milliseconds(text)
    if default is None:
        message = "the record has no ce_time header"
        raise SchemaError(message)
    return default
