"""JSON text of values that have no Avro type of their own."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic_core import to_jsonable_python

from schemas import jsonvalue
from schemas.typedjson import to_json

loads = orjson.loads


def dumps(value: Any) -> str:
    """Return a value's JSON text; raises ValueError or TypeError for what has none.

    Models, dates, UUIDs, enums and sets take the form that pydantic gives them, NaN and infinities become null.
    """
    if value is None:  # the commonest value
        return "null"
    try:
        return orjson.dumps(value, default=to_jsonable_python).decode()
    except TypeError:  # keys that are no strings, integers over 64 bits
        return _patient(value)


def dumps_value(value: Any, kind: Any) -> str:
    """Return the JSON text from which `value_of` and the validator of `kind` make the same value again.

    Raises UnrecordableError for secrets, and ValueError or TypeError for what has no form.
    """
    if value is None:
        return "null"
    return orjson.dumps(value if jsonvalue.is_plain(value) else to_json(value, kind)).decode()


def value_of(data: Any) -> Any:
    """Return the value that JSON data stand for, whose tags were written by `dumps_value`."""
    if isinstance(data, dict | list) and jsonvalue.tags_in(data):
        return jsonvalue.untagged(data)
    return data


def _patient(value: Any) -> str:
    try:
        return orjson.dumps(to_jsonable_python(value), option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, UnicodeDecodeError):
        return orjson.dumps(jsonvalue.tagged(value)).decode()
