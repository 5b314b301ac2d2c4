"""Reads the pauses that servers ask for, as numbers that can be waited for."""

from __future__ import annotations

import math
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from streams import clock

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_S: Final = 3600.0  # a server may ask for no more: who then asks too early gets the same answer again
LONGEST_TEXT: Final = 64  # characters of a header that holds a number or a date
_NUMBER: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?", re.ASCII)


def retry_after(headers: Mapping[str, str], longest: float = LONGEST_S) -> float | None:
    """Return the seconds that a refusal asks for (RFC 9110, 10.2.3: seconds or a date), at most `longest`.

    `retry-after-ms` is read as well. What is no number and no date counts as unknown, so None: `inf`, `nan`, `1e300`,
    negative numbers, and texts longer than any of them is.
    """
    for header, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        found = seconds(headers.get(header, ""))
        if found is not None:
            return min(found / unit, longest)
    text = headers.get("retry-after", "")
    if not text or len(text) > LONGEST_TEXT:
        return None
    try:
        left = parsedate_to_datetime(text).timestamp() - clock.now_ms() / 1000
    except (ValueError, OverflowError, OSError):
        return None
    return min(max(left, 0.0), longest) if math.isfinite(left) else None


def seconds(text: str) -> float | None:
    """Return a number of plain digits as a float, None for any other text."""
    text = text.strip() if len(text) <= LONGEST_TEXT else ""
    return float(text) if _NUMBER.fullmatch(text) else None
