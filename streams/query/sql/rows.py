"""Makes Arrow batches of a source's records, column by column: only what a statement needs is decoded."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
import pyarrow as pa
from pyarrow import compute as pc

from schemas.errors import SchemaError
from streams.query.history import plain
from streams.query.sql.avro import PREFIX, AvroColumns

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from schemas.avro.codec import Codec
    from streams.query.sql.views import Column, SqlSource
    from topics.reader import RawRecord

_ENTRY: Final = b"r/"  # begins the keys of a journal's entries
_NOTHING: Final[dict[str, Any]] = {}
_TYPES: Final = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMPTZ": pa.timestamp("ms", tz="UTC"),
    "JSON": pa.string(),
}


def schema_of(source: SqlSource) -> pa.Schema:
    """Return the Arrow schema of a source; data is JSON to DuckDB."""
    return pa.schema(
        [pa.field(column.name, _TYPES[column.type], metadata=_extension(column)) for column in source.columns]
    )


class Rows:
    """Makes the wanted columns of a source's records; the others are null."""

    def __init__(self, source: SqlSource, wanted: Collection[str], codec: Codec) -> None:
        self._source = source
        self._codec = codec
        self._schema = schema_of(source)
        self._columns = [column if column.name in wanted else None for column in source.columns]
        chosen = [column for column in source.columns if column.name in wanted]
        self._whole = any(column.member == "$data" for column in chosen)
        self._members = {column.member: str(column.type) for column in chosen if not column.member.startswith("$")}
        self._fields = frozenset(member.partition(".")[0] for member in self._members)
        self._until = None if source.until is None else source.until.time_ms
        self._types = frozenset(name.encode() for name in source.types)
        self._readers: dict[bytes, AvroColumns | None] = {}

    def batches(self, records: Sequence[RawRecord]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of records, in any order; those that are no rows of the source are left out."""
        records = self._chosen(records)
        if self._whole:
            yield self._batch(records, {}, [self._decoded(record.value) for record in records])
        elif not self._members:
            yield self._batch(records, {}, [])
        else:
            groups: dict[bytes, list[RawRecord]] = {}
            for record in records:
                groups.setdefault((record.value or b"")[:PREFIX], []).append(record)
            for prefix, group in groups.items():
                yield self._of_one_schema(prefix, group)

    def empty(self) -> pa.RecordBatch:
        """Return a batch without rows."""
        return self._batch([], {}, [])

    def _chosen(self, records: Sequence[RawRecord]) -> Sequence[RawRecord]:
        if self._source.journal:
            records = [one for one in records if one.value is not None and (one.key or b"").startswith(_ENTRY)]
        if self._until is not None and not self._source.changelog:
            records = [one for one in records if one.timestamp <= self._until]
        if self._types:
            records = [one for one in records if _header(one, "ce_type") in self._types]
        return records

    def _of_one_schema(self, prefix: bytes, records: Sequence[RawRecord]) -> pa.RecordBatch:
        """Return the rows of records that one schema wrote: as columns where possible, else one by one."""
        if prefix not in self._readers:
            self._readers[prefix] = self._reader(prefix)
        reader = self._readers[prefix]
        read = None if reader is None else reader.read([record.value or b"" for record in records])
        if read is not None:
            return self._batch(records, read, [])
        return self._batch(records, {}, [self._decoded(record.value) for record in records])

    def _reader(self, prefix: bytes) -> AvroColumns | None:
        try:
            reader = AvroColumns(self._codec.schema_of(prefix), self._members)
        except SchemaError:
            return None
        return reader if reader.fits(self._members) else None

    def _batch(
        self, records: Sequence[RawRecord], read: dict[str, pa.Array | list[Any]], data: list[Any]
    ) -> pa.RecordBatch:
        arrays = []
        for column, field in zip(self._columns, self._schema, strict=True):
            if column is None:
                arrays.append(pa.nulls(len(records), field.type))
            elif column.member in read:
                arrays.append(_column(read[column.member], column, field.type))
            elif data or column.member.startswith("$"):
                arrays.append(self._array(column, field.type, records, data))
            else:
                arrays.append(pa.nulls(len(records), field.type))  # records of this schema have no such member
        return pa.record_batch(arrays, schema=self._schema)

    def _array(self, column: Column, kind: pa.DataType, records: Sequence[RawRecord], data: list[Any]) -> pa.Array:
        if column.member in _PARTS:
            return pa.array(_PARTS[column.member](records), kind)
        if column.member == "$later":
            return pa.array([self._until is not None and one.timestamp > self._until for one in records], kind)
        if column.member == "$data":
            return pa.array([None if one is _NOTHING else _json(one) for one in data], kind)
        values = data
        for name in column.member.split("."):
            values = [one.get(name) if type(one) is dict else None for one in values]
        return _column(values, column, kind)

    def _decoded(self, value: bytes | None) -> dict[str, Any]:
        if value is None:
            return _NOTHING
        try:
            return self._codec.decode_dict(value) if self._whole else self._codec.decode_members(value, self._fields)
        except SchemaError:
            return _NOTHING  # somebody else's record: a row with its place and without data


def _column(values: pa.Array | list[Any], column: Column, kind: pa.DataType) -> pa.Array:
    """Return values as a column; a time of 0 ms is one that was never set."""
    if isinstance(values, pa.Array):
        return (pc.if_else(pc.equal(values, 0), None, values) if column.type == "TIMESTAMPTZ" else values).cast(kind)
    try:
        return pa.array(values, kind) if column.type in _EXACT else _fitting(column, kind, values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):  # somebody else's record: value by value
        return _fitting(column, kind, values)


def _header(record: RawRecord, name: str) -> bytes | None:
    """Return a header's value; of a repeated header the last counts."""
    found = None
    for header, value in record.headers:
        if header == name:
            found = value
    return found.encode() if isinstance(found, str) else found


def _headers(name: str) -> Callable[[Sequence[RawRecord]], list[Any]]:
    return lambda records: [_text(_header(record, name)) for record in records]


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


_PARTS: Final[dict[str, Callable[[Sequence[RawRecord]], list[Any]]]] = {
    "$topic": lambda records: [record.topic for record in records],
    "$partition": lambda records: [record.partition for record in records],
    "$offset": lambda records: [record.offset for record in records],
    "$time": lambda records: [record.timestamp for record in records],
    "$key": lambda records: [_text(record.key) for record in records],
    "$deleted": lambda records: [record.value is None for record in records],
    "$id": _headers("ce_id"),
    "$type": _headers("ce_type"),
    "$source": _headers("ce_source"),
}


def _json(value: Any) -> str:
    return orjson.dumps(value, default=_other, option=orjson.OPT_NON_STR_KEYS).decode()


def _other(value: Any) -> Any:
    return plain(value) if isinstance(value, bytes) else str(value)


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and -(1 << 63) <= value < 1 << 63 else None


def _real(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _moment(value: Any) -> int | None:
    """Return a time in ms since the epoch; a member of 0 ms is one that was never set."""
    return int(value.timestamp() * 1000) if isinstance(value, datetime) else _number(value) or None


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, date) else _json(value)


_EXACT: Final = frozenset({"VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN"})
"""Types whose values need no change where all of a batch fit."""

_VALUES: Final[dict[str, Callable[[Any], Any]]] = {
    "VARCHAR": _string,
    "BIGINT": _number,
    "DOUBLE": _real,
    "BOOLEAN": lambda value: value if isinstance(value, bool) else None,
    "TIMESTAMPTZ": _moment,
    "JSON": _json,
}


def _fitting(column: Column, kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    """Return values of a column; what is not of its type is null."""
    fits = _VALUES[column.type]
    return pa.array([None if value is None else fits(value) for value in values], kind)


def _extension(column: Column) -> dict[str, str] | None:
    if column.type != "JSON":
        return None
    return {"ARROW:extension:name": "arrow.json", "ARROW:extension:metadata": ""}
