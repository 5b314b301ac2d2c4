"""Values and JSON: one way out and one way in, so that a live result and a replayed one are the same."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, Final

import orjson
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

CUT: Final = 4096  # bytes of an input kept in an entry for people to read; outputs are never cut

_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


def to_json(value: Any) -> Any:
    """Return value as plain JSON data, copied; raise pydantic's error for what has no JSON form."""
    if type(value) in _PLAIN:
        return value
    return to_jsonable_python(value, by_alias=True)


def args_to_json(value: Any) -> Any:
    """Return arguments as JSON data for a digest; what has no JSON form is named by its type."""
    if type(value) in _PLAIN:
        return value
    return to_jsonable_python(_ordered(value), by_alias=True, fallback=_type_name)


def digest(*parts: Any) -> str:
    """Return 16 hex digits of a hash of JSON data, equal for equal data."""
    text = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def shown(value: Any) -> Any:
    """Return JSON data short enough to sit in an entry: an input is a copy of something already on the log."""
    if type(value) in (int, float, bool, type(None)):
        return value
    text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    if len(text) <= CUT:
        return value
    return {"cut": True, "bytes": len(text), "begins": text[:256].decode(errors="replace")}


@lru_cache(maxsize=4096)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def adapter(kind: Any) -> TypeAdapter[Any]:
    """Return the cached validator of a type."""
    try:
        return _adapter(kind)
    except TypeError:  # a type that cannot be hashed, such as Annotated with a list
        return TypeAdapter(kind)


def from_json(value: Any, kind: Any) -> Any:
    """Return JSON data as an instance of kind (None or Any: a fresh copy of the data)."""
    if kind is None or kind is Any:
        return value if type(value) in _PLAIN else orjson.loads(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))
    return adapter(kind).validate_json(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))


def _ordered(value: Any) -> Any:
    """Return value with its sets as sorted lists: their own order differs from process to process."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list or kind is tuple:
        return [_ordered(one) for one in value]
    if kind is dict:
        return {name: _ordered(one) for name, one in value.items()}
    if kind is set or kind is frozenset:
        return sorted((_ordered(one) for one in value), key=repr)
    return value


def _type_name(value: Any) -> str:
    return f"<{type(value).__module__}.{type(value).__qualname__}>"
