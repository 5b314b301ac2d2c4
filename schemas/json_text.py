"""JSON text from outside, read as RFC 8259 section 8.2 expects it to come: with unpaired surrogates in its escapes."""

import re
from typing import Any, Final

import orjson

_ESCAPES: Final = re.compile(
    rb"\\(?:[^u]|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|u)"
)
"""One escape, read from the left; group 1 is a surrogate without its other half."""

_REPLACEMENT: Final = rb"\ufffd"


def parse_json(text: bytes | str) -> Any:
    """Return the value of a JSON text; raises orjson.JSONDecodeError (a ValueError) for what is none.

    JavaScript's ``JSON.stringify`` writes half an emoji, as ``slice`` leaves it, as the escape of one surrogate. No
    UTF-8 text has such a character: it becomes U+FFFD, as in every decoder of the WHATWG encoding standard.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        mended = _ESCAPES.sub(_mended, raw)
        if mended == raw:
            raise
    return orjson.loads(mended)


def _mended(escape: re.Match[bytes]) -> bytes:
    return escape[0] if escape[1] is None else _REPLACEMENT
