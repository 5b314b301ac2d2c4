"""Reads a source from its topics as Arrow batches: only the columns and records that a statement needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
import pyarrow as pa

from schemas.attributes import Attributes
from schemas.errors import SchemaError
from streams.query.history import plain
from streams.query.sql.errors import SqlLimitError
from topics.reader import Time, offsets, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from schemas.avro.codec import Codec
    from streams.query.sql.plan import Need
    from streams.query.sql.views import Column, Source
    from topics.kafka import KafkaConfig
    from topics.reader import RawRecord

BATCH: Final = 8_192
_BATCH_BYTES: Final = 8 << 20  # of records: few large ones make a batch of their own
_ENTRY: Final = b"r/"  # begins the keys of a journal's entries
_TYPES: Final = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "TIMESTAMPTZ": pa.timestamp("ms", tz="UTC"),
    "JSON": pa.string(),
}


@dataclass(frozen=True, slots=True)
class Counter:
    """What a statement has read so far, and may read."""

    most_bytes: int
    read: dict[str, int]

    def add(self, records: int, size: int) -> None:
        """Count; SqlLimitError when it is too much."""
        self.read["records"] += records
        self.read["bytes"] += size
        if self.read["bytes"] > self.most_bytes:
            raise SqlLimitError(
                f"The statement read more than {self.most_bytes >> 20} MiB of records: narrow it by "
                "time >= TIMESTAMPTZ '…', \"offset\" >= N, \"partition\" = N or key = '…'."
            )


@dataclass(frozen=True, slots=True)
class TopicReads:
    """Reads topics up to where they ended when the statement began, so that a second scan sees the same."""

    config: KafkaConfig
    codec: Codec
    ends: dict[str, dict[int, int]]

    def end(self, topic: str) -> dict[int, int]:
        """Return the end of a topic, found once."""
        if topic not in self.ends:
            self.ends[topic] = offsets(self.config, topic)
        return self.ends[topic]

    def records(self, topic: str, need: Need) -> Iterator[RawRecord]:
        """Yield the records of a topic that the bounds of a statement leave; all that they do not rule out."""
        end = self.end(topic)
        chosen = sorted(end) if need.partition is None else [need.partition] if need.partition in end else []
        if not chosen:
            return iter(())
        start: dict[int, int] = dict.fromkeys(chosen, need.first_offset or 0)
        if need.since_ms is not None:
            for number, offset in offsets(self.config, topic, Time(max(need.since_ms, 0)), partitions=chosen).items():
                start[number] = max(start[number], offset)
        if need.last_offset is not None:
            end = {number: min(offset, need.last_offset + 1) for number, offset in end.items()}
        return read(self.config, topic, start=start, end=end, key=need.key, partitions=None if need.key else chosen)


def schema_of(source: Source) -> pa.Schema:
    """Return the Arrow schema of a source; data is JSON to DuckDB."""
    return pa.schema(
        [pa.field(column.name, _TYPES[column.type], metadata=_extension(column)) for column in source.columns]
    )


def batches(
    source: Source,
    topics: Sequence[str],
    need: Need,
    reads: TopicReads,
    counter: Counter,
) -> Iterator[pa.RecordBatch]:
    """Yield the source's rows; columns that the statement does not need are null. Raises TopicError, SqlLimitError."""
    wanted = [column for column in source.columns if column.name in need.columns]
    row = _Row(wanted, reads.codec)
    schema = schema_of(source)
    rows: list[list[Any]] = []
    size = counted = 0
    for topic in topics:
        for record in reads.records(topic, need):
            size += len(record.key or b"") + len(record.value or b"")
            counted += 1
            if (values := row.of(record, source)) is not None:
                rows.append(values)
            if counted >= BATCH or size >= _BATCH_BYTES:
                counter.add(counted, size)
                yield _batch(schema, wanted, rows)
                rows, size, counted = [], 0, 0
    counter.add(counted, size)
    yield _batch(schema, wanted, rows)


class _Row:
    """Makes the wanted values of a record."""

    def __init__(self, columns: Sequence[Column], codec: Codec) -> None:
        self._codec = codec
        self._decode = any(not column.member.startswith("$") or column.name == "data" for column in columns)
        self._attributes = any(column.member in ("$id", "$type", "$source") for column in columns)
        self._values = [_value(column) for column in columns]

    def of(self, record: RawRecord, source: Source) -> list[Any] | None:
        """Return the values, None for a record that is no row of the source."""
        if source.journal and (record.value is None or not (record.key or b"").startswith(_ENTRY)):
            return None
        attributes = self._known(record) if self._attributes or source.types else None
        if source.types and (attributes is None or attributes.type not in source.types):
            return None
        data: Any = None
        if self._decode and record.value is not None:
            try:
                data = plain(self._codec.decode_dict(record.value))
            except SchemaError:
                data = None  # somebody else's record: a row with its place and without data
        return [value(record, attributes, data) for value in self._values]

    @staticmethod
    def _known(record: RawRecord) -> Attributes | None:
        try:
            return Attributes.from_headers(record.headers, default_time=record.timestamp)
        except SchemaError:
            return None


def _value(column: Column) -> Callable[[RawRecord, Attributes | None, Any], Any]:
    """Return what reads a column's value."""
    member = column.member
    if member in _PARTS:
        return _PARTS[member]
    path = member.split(".")
    fits = _FITTING[column.type]

    def found(_: RawRecord, __: Attributes | None, data: Any) -> Any:
        for name in path:
            data = data.get(name) if isinstance(data, dict) else None
        return None if data is None else fits(data)

    return found


def _json(value: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and -(1 << 63) <= value < 1 << 63 else None


def _real(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


_FITTING: Final[dict[str, Callable[[Any], Any]]] = {
    "VARCHAR": lambda value: value if isinstance(value, str) else _json(value),
    "BIGINT": _number,
    "DOUBLE": _real,
    "TIMESTAMPTZ": lambda value: _number(value) or None,
    "JSON": _json,
}
_PARTS: Final[dict[str, Callable[[RawRecord, Attributes | None, Any], Any]]] = {
    "$topic": lambda record, _, __: record.topic,
    "$partition": lambda record, _, __: record.partition,
    "$offset": lambda record, _, __: record.offset,
    "$time": lambda record, _, __: record.timestamp,
    "$key": lambda record, _, __: None if record.key is None else record.key.decode("utf-8", "replace"),
    "$id": lambda _, attributes, __: None if attributes is None else attributes.id,
    "$type": lambda _, attributes, __: None if attributes is None else attributes.type,
    "$source": lambda _, attributes, __: None if attributes is None else attributes.source,
    "$data": lambda _, __, data: None if data is None else _json(data),
}


def _batch(schema: pa.Schema, wanted: Sequence[Column], rows: list[list[Any]]) -> pa.RecordBatch:
    columns: dict[str, list[Any]] = {
        column.name: list(values) for column, values in zip(wanted, zip(*rows, strict=True), strict=bool(rows))
    }
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.record_batch(arrays, schema=schema)


def _extension(column: Column) -> dict[str, str] | None:
    if column.type != "JSON":
        return None
    return {"ARROW:extension:name": "arrow.json", "ARROW:extension:metadata": ""}
