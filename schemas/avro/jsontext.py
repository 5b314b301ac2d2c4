"""JSON text of values that have no Avro type of their own."""

from typing import Any

import orjson
from pydantic_core import to_jsonable_python

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


def _patient(value: Any) -> str:
    return orjson.dumps(to_jsonable_python(value), option=orjson.OPT_NON_STR_KEYS).decode()
