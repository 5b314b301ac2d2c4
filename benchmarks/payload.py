"""The event that every engine gets: 500 bytes, raw or Avro in the Confluent wire format, one codec for all."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any, Literal

from fastavro import parse_schema, schemaless_reader, schemaless_writer

Format = Literal["raw", "avro"]

SIZE = 500
KEYS = 1_000
PARTITIONS = 4
MAGIC = struct.pack(">bi", 0, 1)  # byte 0 and schema id 1
COUNTER = struct.Struct(">q")
SCHEMA = parse_schema(
    {
        "type": "record",
        "name": "Measured",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "source", "type": "string"},
            {"name": "count", "type": "long"},
            {"name": "amount", "type": "double"},
            {"name": "body", "type": "string"},
        ],
    }
)


def key(number: int) -> bytes:
    """Return the key of the event with this number."""
    return b"key-%04d" % (number % KEYS)


def event(number: int, fmt: Format) -> bytes:
    """Return the event with this number: SIZE bytes raw, about as many with Avro."""
    if fmt == "raw":
        return COUNTER.pack(0) + b"%012d" % number + b"x" * (SIZE - COUNTER.size - 12)
    record = {"id": f"{number:012d}", "source": "benchmark", "count": 0, "amount": number / 7, "body": "x" * 450}
    return _encode(record)


def counted(value: bytes, count: int, fmt: Format) -> bytes:
    """Return the event with its counter set: what a handler does with it."""
    if fmt == "raw":
        return COUNTER.pack(count) + value[COUNTER.size :]
    record = _decode(value)
    record["count"] = count
    return _encode(record)


def count_of(value: bytes, fmt: Format) -> int:
    """Return an event's counter."""
    counter: int = COUNTER.unpack_from(value)[0] if fmt == "raw" else _decode(value)["count"]
    return counter


def counting(fmt: Format) -> Callable[[bytes, int], bytes]:
    """Return `counted` for one format."""
    return lambda value, count: counted(value, count, fmt)


def _encode(record: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    buffer.write(MAGIC)
    schemaless_writer(buffer, SCHEMA, record)
    return buffer.getvalue()


def _decode(value: bytes) -> dict[str, Any]:
    buffer = io.BytesIO(value)
    buffer.seek(len(MAGIC))
    decoded: Any = schemaless_reader(buffer, SCHEMA, None)
    return dict(decoded)
