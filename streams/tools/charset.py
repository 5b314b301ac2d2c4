"""Makes text of bytes by the rules that browsers follow, because a wrong charset is a wrong text."""

from __future__ import annotations

import codecs
import re

DECLARED = re.compile(rb"""<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*["']?\s*([a-zA-Z0-9_.:-]+)""")
PARAMETER = re.compile(r"""charset\s*=\s*["']?([^"';\s]+)""", re.IGNORECASE)
PRESCAN = 2048  # bytes in which a page declares its encoding
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
MEANT = {"iso8859-1": "cp1252", "ascii": "cp1252"}  # what browsers read those labels as (WHATWG Encoding)


def decoded(body: bytes, content_type: str) -> str:
    """Return the text of `body`: by its mark, the header's charset, the page's own word, UTF-8, then by guess."""
    for mark, encoding in MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, errors="replace")
    header = PARAMETER.search(content_type)
    meta = DECLARED.search(body[:PRESCAN])
    for label in (header.group(1) if header else "", meta.group(1).decode("ascii") if meta else ""):
        known = _known(label)
        if known is not None:
            return body.decode(known, errors="replace")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        import charset_normalizer  # noqa: PLC0415 - rarely needed, and large

        guess = charset_normalizer.from_bytes(body[:100_000]).best()
        return body.decode(guess.encoding if guess else "cp1252", errors="replace")


def _known(label: str) -> str | None:
    try:
        name = codecs.lookup(label).name if label else None
    except LookupError:
        return None
    return None if name is None else MEANT.get(name, name)
