"""Ids are derived from what the sender repeats, so that a repeated request names the same run or event."""

from __future__ import annotations

import re
from typing import Final

from schemas.run import RUN_ID
from streams.engine.ids import derived
from streams.gateway.problem import INVALID_REQUEST, MALFORMED_REQUEST

ID: Final = RUN_ID
"""Ids stand in paths of URLs and in keys of the journal, where a slash separates."""

hashed = derived

_HEADER: Final = re.compile(r"[\x20-\x7e]{1,255}")


def check_id(value: str, name: str) -> str:
    """Return `value`; Problem 422 when it cannot be an id."""
    if ID.fullmatch(value) is None:
        detail = f"{name} must be 1 to 128 letters, digits or ._:@~+- and begin with a letter or digit."
        raise INVALID_REQUEST(detail, errors=[{"field": name, "message": detail}])
    return value


def check_key(value: str | None) -> str | None:
    """Return the Idempotency-Key if one was sent; Problem 400 when it is empty, too long or not printable."""
    if value is not None and _HEADER.fullmatch(value) is None:
        raise MALFORMED_REQUEST("Idempotency-Key must be 1 to 255 printable ASCII characters.")
    return value
