"""JSON data in the engine: digests that are equal in every process, and inputs as an entry shows them."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import orjson

from schemas import jsonvalue
from schemas.typedjson import adapter, args_to_json, checked_to_json, from_json, to_json, unreadable, unrecordable

__all__ = [
    "CUT",
    "adapter",
    "args_to_json",
    "checked_to_json",
    "digest",
    "from_json",
    "shown",
    "to_json",
    "unreadable",
    "unrecordable",
]

CUT: Final = 4096  # bytes of an input in an entry for people to read; outputs are never cut

_ATOMS: Final = frozenset({bool, type(None)})
_MARK: Final = b'"$'


def digest(*parts: Any) -> str:
    """Return 16 hex digits of a hash of JSON data, equal for equal data in every process."""
    options = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    try:
        text = orjson.dumps(parts, option=options)
    except TypeError:  # integers over 64 bits, unpaired surrogates
        text = orjson.dumps(jsonvalue.tagged(parts), option=options)
    if _MARK in text and jsonvalue.tags_in(list(parts)):
        text = orjson.dumps(jsonvalue.hash_form(orjson.loads(text)), option=options)
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def shown(value: Any) -> Any:
    """Return JSON data short enough to sit in an entry: an input is a copy of something already on the log."""
    if type(value) in _ATOMS:
        return value
    try:
        text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        value = jsonvalue.tagged(value)
        text = orjson.dumps(value)
    if len(text) <= CUT:
        return value
    return {"cut": True, "bytes": len(text), "begins": text[:256].decode(errors="replace")}
