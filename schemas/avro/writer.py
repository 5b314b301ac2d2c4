"""Writes flat records faster than the Avro library, which looks each field up in its schema again.

Most of what a run costs is writing: a dozen records, each of a score of small fields. What their shapes allow is put
together once for each class out of functions that return a field's bytes. The result is byte for byte what the library
writes. Whatever is unusual (a nested record, a value of another type) makes it give up, and the library writes the
record or says what is wrong with it. The encoding: https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from operator import call
from struct import Struct
from typing import Any, Final, TypeAlias

import orjson
from pydantic import BaseModel

from schemas.avro.jsontext import dumps, dumps_value
from schemas.avro.shape import Shape, shape_of_field

FieldWriter: TypeAlias = Callable[[Any], bytes]

_DOUBLE: Final = Struct("<d")
_LONGEST: Final = 2**63
_SMALL: Final = 64  # lengths below it are one byte
_LENGTHS: Final = tuple(bytes([length * 2]) for length in range(_SMALL))


class UnusualError(Exception):
    """Raised for a value that is left to the Avro library; nobody outside the codec sees it."""


def flat_writer(model: type[BaseModel], schema: dict[str, Any]) -> Callable[[Iterable[Any]], bytes] | None:
    """Return what writes a record's body from all its values in the order of the schema; None if a shape is not flat.

    What it returns raises UnusualError, ValueError or TypeError where the library has to look at the record.
    """
    writers: list[FieldWriter] = []
    for field in schema["fields"]:
        writer = _writer(shape_of_field(model.model_fields[field["name"]]), field["type"])
        if writer is None:
            return None
        writers.append(writer)
    return lambda values: b"".join(map(call, writers, values))


def _writer(shape: Shape, schema: Any) -> FieldWriter | None:
    if shape.annotation is not None:
        return lambda value: _string(dumps_value(value, shape.annotation))
    if shape.kind != "optional" or shape.item is None:
        return _WRITERS.get(shape.kind)
    inner = _WRITERS.get(shape.item.kind)
    if inner is None or not isinstance(schema, list):
        return None
    place = schema.index("null")
    null, some = _long(place), _long(1 - place)
    return lambda value: null if value is None else some + inner(value)


@lru_cache(maxsize=8192, typed=True)  # counts, versions and the millisecond that a thousand records share
def _long(value: int) -> bytes:
    """Return an integer in zigzag form, seven bits a byte, the lowest first."""
    if type(value) is not int or not -_LONGEST <= value < _LONGEST:
        raise UnusualError
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _string(value: str) -> bytes:
    if type(value) is not str:
        raise UnusualError
    data = value.encode()
    length = len(data)
    return (_LENGTHS[length] if length < _SMALL else _long(length)) + data


def _bytes(value: bytes) -> bytes:
    if type(value) is not bytes:
        raise UnusualError
    return _long(len(value)) + value


def _double(value: float) -> bytes:
    if type(value) is not float:
        raise UnusualError
    return _DOUBLE.pack(value)


def _boolean(value: bool) -> bytes:
    if type(value) is not bool:
        raise UnusualError
    return b"\1" if value else b"\0"


def _json(value: Any) -> bytes:
    if value is None:
        return b"\x08null"
    try:
        data = orjson.dumps(value)
    except TypeError:  # a model, a date, a key that is no string
        data = dumps(value).encode()
    length = len(data)
    return (_LENGTHS[length] if length < _SMALL else _long(length)) + data


_WRITERS: Final[dict[str, FieldWriter]] = {
    "string": _string,
    "long": _long,
    "double": _double,
    "boolean": _boolean,
    "bytes": _bytes,
    "json": _json,
}
