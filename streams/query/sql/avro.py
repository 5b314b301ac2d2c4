"""Decodes a batch of Avro records of one schema as columns, for all records at a time, without a Python object each.

A field is read at the position of each record, which is a vector; the position then moves on. Fields after the last
wanted one are not read. What this does not know, or what is not written as its schema says, is left to the codec.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import orjson
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

Vector: TypeAlias = "NDArray[Any]"

PREFIX: Final = 5
_PAD: Final = bytes(16)  # so that a read at the end of a broken record stays inside
_VARINT: Final = 10  # bytes at most
_ITEMS: Final = 1_000  # of an array or map that is skipped
_TEXT: Final = frozenset({"string", "bytes"})
_WHOLE: Final = frozenset({"int", "long"})
_FITTING: Final[dict[str, frozenset[str]]] = {
    "VARCHAR": _TEXT,
    "BIGINT": _WHOLE,
    "TIMESTAMPTZ": _WHOLE,
    "DOUBLE": frozenset({"double"}),
    "BOOLEAN": frozenset({"boolean"}),
}
"""Types of Avro by the type of a column that takes them as they are."""


class IrregularRecordError(Exception):
    """Raised for records that are to be decoded one by one."""


@dataclass(slots=True)
class _Piece:
    """Values of a member for some rows of the batch, in order; `ends` where they are texts."""

    rows: Vector
    values: Vector
    ends: Vector | None = None


@dataclass(slots=True)
class _Batch:
    body: bytes
    bytes_: Vector
    found: dict[str, list[_Piece]] = field(default_factory=dict)


class AvroColumns:
    """Reads some members of records of one schema; a member of a member is `usage.cost_usd`."""

    def __init__(self, schema: dict[str, Any], members: Collection[str]) -> None:
        self._fields: list[dict[str, Any]] = schema["fields"]
        self._named: dict[str, Any] = {}
        self._name_all(schema)
        texts = {member: self._json(member) for member in members}
        self._texts = {member: found for member, found in texts.items() if found is not None}
        self._members = (frozenset(members) - self._texts.keys()) | {field for field, _ in self._texts.values()}
        wanted = {member.partition(".")[0] for member in members}
        places = [number for number, one in enumerate(self._fields) if one["name"] in wanted]
        self._count = max(places) + 1 if places else 0

    def fits(self, columns: dict[str, str]) -> bool:
        """Return whether the members can be read as columns of these types."""
        return all(
            member in self._texts or self._kind(member) in {None, *_FITTING.get(kind, ())}
            for member, kind in columns.items()
        )

    def read(self, values: Sequence[bytes]) -> dict[str, pa.Array | list[Any]] | None:
        """Return the values of each member that the schema has, null where a record has none.

        They are an array, or a list of what JSON text holds. Returns None where a record is not written as its schema
        says: only the codec knows which one.
        """
        try:
            found = self._read(values)
            loaded = {field: _loaded(found[field]) for field, _ in self._texts.values() if field in found}
        except IrregularRecordError:
            return None
        held = {
            member: _members(loaded[field], path) for member, (field, path) in self._texts.items() if field in loaded
        }
        return {member: array for member, array in found.items() if member not in loaded} | held

    def _read(self, values: Sequence[bytes]) -> dict[str, pa.Array]:
        body = b"".join([*values, _PAD])
        sizes = np.fromiter(map(len, values), np.int64, len(values))
        ends = np.cumsum(sizes)
        batch = _Batch(body, np.frombuffer(body, np.uint8))
        place = ends - sizes + PREFIX
        rows = np.arange(len(values))
        for one in self._fields[: self._count]:
            place = self._value(batch, one["type"], one["name"], place, ends, rows)
        return {member: _array(batch, pieces, len(values)) for member, pieces in batch.found.items()}

    def _name_all(self, schema: Any) -> None:
        if isinstance(schema, list):
            for branch in schema:
                self._name_all(branch)
        elif isinstance(schema, dict):
            if "name" in schema and schema.get("type") in ("record", "enum", "fixed"):
                self._named[schema["name"]] = schema
            for one in schema.get("fields", ()):
                self._name_all(one["type"])
            for part in ("items", "values"):
                self._name_all(schema.get(part))

    def _json(self, member: str) -> tuple[str, list[str]] | None:
        """Return the field of JSON text that a member is in, and the path from there; None if it is in none."""
        schema: Any = {"type": "record", "fields": self._fields}
        names = member.split(".")
        for number, name in enumerate(names, 1):
            schema = self._of(schema, name)
            if isinstance(schema, dict) and schema.get("logicalType") == "json":
                return ".".join(names[:number]), names[number:]
        return None

    def _kind(self, member: str) -> str | None:
        """Return the Avro type of a member, None where the schema has no such member."""
        schema: Any = {"type": "record", "fields": self._fields}
        for name in member.split("."):
            if schema is None:
                return None
            if not isinstance(schema, dict) or schema["type"] != "record":
                return "no record"
            schema = self._of(schema, name)
        if isinstance(schema, dict):
            return str(schema.get("logicalType", schema["type"]))
        return schema if schema is None else str(schema)

    def _of(self, schema: Any, name: str) -> Any:
        """Return the schema of a record's field, without what makes it optional; None where there is no such field."""
        fields = schema.get("fields", ()) if isinstance(schema, dict) else ()
        return self._plain(next((one["type"] for one in fields if one["name"] == name), None))

    def _plain(self, schema: Any) -> Any:
        """Return what an optional holds and a name means."""
        if isinstance(schema, list):
            others = [branch for branch in schema if branch != "null"]
            schema = others[0] if len(others) == 1 else "union"
        return self._named.get(schema, schema) if isinstance(schema, str) else schema

    def _value(self, batch: _Batch, schema: Any, member: str, place: Vector, ends: Vector, rows: Vector) -> Vector:
        """Read a value of each of some rows; return where the next one begins."""
        if isinstance(schema, list):
            return self._union(batch, schema, member, place, ends, rows)
        if isinstance(schema, str) and schema in self._named:
            schema = self._named[schema]
        kind = schema["type"] if isinstance(schema, dict) else schema
        if kind == "record":
            for one in schema["fields"]:
                place = self._value(batch, one["type"], f"{member}.{one['name']}", place, ends, rows)
            return place
        if kind in ("array", "map"):
            return self._items(batch, schema, place, ends)
        after, values = _scalar(batch, kind, place, ends)
        if member in self._members:
            piece = _Piece(rows, values, after) if kind in _TEXT else _Piece(rows, values)
            batch.found.setdefault(member, []).append(piece)
        return after

    def _union(
        self, batch: _Batch, branches: list[Any], member: str, place: Vector, ends: Vector, rows: Vector
    ) -> Vector:
        place, chosen = _varint(batch, place, ends)
        if ((chosen < 0) | (chosen >= len(branches))).any():
            raise IrregularRecordError
        for number, branch in enumerate(branches):
            taken = np.flatnonzero(chosen == number)
            if branch == "null" or not taken.size:
                continue
            if taken.size == chosen.size:
                return self._value(batch, branch, member, place, ends, rows)
            place[taken] = self._value(batch, branch, member, place[taken], ends[taken], rows[taken])
        return place

    def _items(self, batch: _Batch, schema: dict[str, Any], place: Vector, ends: Vector) -> Vector:
        """Skip arrays or maps: blocks of items, until one of none."""
        place = place.copy()
        left = np.arange(place.size)
        while left.size:
            begin, counts = _varint(batch, place[left], ends[left])
            sized = np.flatnonzero(counts < 0)  # such a block says its size in bytes
            if sized.size:
                after, sizes = _varint(batch, begin[sized], ends[left[sized]])
                begin[sized] = _inside(after + sizes, after, ends[left[sized]])
            if counts.max() > _ITEMS:
                raise IrregularRecordError
            for number in range(int(counts.max())):
                more = np.flatnonzero(counts > number)
                at, end = begin[more], ends[left[more]]
                if schema["type"] == "map":
                    at, _ = _scalar(batch, "string", at, end)
                begin[more] = self._value(batch, schema.get("items", schema.get("values")), "", at, end, more)
            place[left] = begin
            left = left[counts != 0]
        return place


def _loaded(texts: pa.Array) -> list[Any]:
    try:
        return [None if text is None else orjson.loads(text) for text in texts.to_pylist()]
    except orjson.JSONDecodeError as error:
        raise IrregularRecordError from error


def _members(values: list[Any], path: list[str]) -> list[Any]:
    for name in path:
        values = [one.get(name) if type(one) is dict else None for one in values]
    return values


def _scalar(batch: _Batch, kind: str, place: Vector, ends: Vector) -> tuple[Vector, Vector]:
    """Return where the next values begin, and the values; of texts where they begin."""
    if kind in _TEXT:
        begin, sizes = _varint(batch, place, ends)
        return _inside(begin + sizes, begin, ends), begin
    if kind in _WHOLE or kind == "enum":
        return _varint(batch, place, ends)
    if kind == "null":
        return place, place
    if kind == "double":
        after = _inside(place + 8, place, ends)
        return after, batch.bytes_[place[:, None] + np.arange(8)].view("<f8").reshape(-1)
    if kind == "boolean":
        after = _inside(place + 1, place, ends)
        return after, batch.bytes_[place] != 0
    raise IrregularRecordError


def _varint(batch: _Batch, place: Vector, ends: Vector) -> tuple[Vector, Vector]:
    """Read a number of each row: seven bits a byte, the lowest first, the sign in the lowest bit."""
    _inside(place + 1, place, ends)
    first = batch.bytes_[place]
    value = (first & 0x7F).astype(np.uint64)
    after = place + 1
    more = np.flatnonzero(first >= 0x80)
    shift = 7
    while more.size:
        if shift >= 7 * _VARINT:
            raise IrregularRecordError
        at = after[more]
        _inside(at + 1, at, ends[more])
        byte = batch.bytes_[at]
        value[more] |= (byte & 0x7F).astype(np.uint64) << np.uint64(shift)
        after[more] = at + 1
        more = more[byte >= 0x80]
        shift += 7
    return after, (value >> np.uint64(1)).astype(np.int64) ^ -(value & np.uint64(1)).astype(np.int64)


def _inside(after: Vector, before: Vector, ends: Vector) -> Vector:
    """Return positions after a value; IrregularRecordError where one is before the value or beyond its record."""
    if ((after > ends) | (after < before)).any():
        raise IrregularRecordError
    return after


def _array(batch: _Batch, pieces: list[_Piece], count: int) -> pa.Array:
    """Return a column of the whole batch."""
    if len(pieces) != 1:
        raise IrregularRecordError
    (piece,) = pieces
    values = pa.array(piece.values) if piece.ends is None else _texts(batch, piece.values, piece.ends)
    if piece.rows.size == count:
        return values
    index = np.full(count, -1, np.int64)
    index[piece.rows] = np.arange(piece.rows.size)
    return values.take(pa.array(index, mask=index < 0))


def _texts(batch: _Batch, begins: Vector, ends: Vector) -> pa.Array:
    """Return texts out of the batch's bytes: an array of the texts and what is between them, of which half is taken."""
    bounds = np.column_stack((begins, ends)).reshape(-1).astype(np.int32)
    whole = pa.Array.from_buffers(pa.binary(), bounds.size - 1, [None, pa.py_buffer(bounds), pa.py_buffer(batch.body)])
    try:
        return whole.take(pa.array(np.arange(0, bounds.size - 1, 2))).cast(pa.string())
    except pa.ArrowInvalid as error:  # no UTF-8
        raise IrregularRecordError from error
