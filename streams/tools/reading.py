"""Makes text of bytes, and a title and main text of a page, so that a model reads what a person would."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

import charset_normalizer
import lxml.etree  # type: ignore[import-untyped]  # its stubs are a package of their own
import lxml.html  # type: ignore[import-untyped]  # its stubs are a package of their own
import trafilatura

DECLARED = re.compile(rb"""<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*["']?\s*([a-zA-Z0-9_.:-]+)""")
PARAMETER = re.compile(r"""charset\s*=\s*["']?([^"';\s]+)""", re.IGNORECASE)
PRESCAN = 2048  # bytes in which a page declares its encoding
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
MEANT = {"iso8859-1": "cp1252", "ascii": "cp1252"}  # what browsers read those labels as (WHATWG Encoding)
UNSEEN = ("script", "style", "noscript", "template", "iframe", "object", "svg", "head")
HTML = frozenset({"text/html", "application/xhtml+xml", ""})


class Read(NamedTuple):
    """What a page says; `text` is whole, paragraphs on lines of their own."""

    title: str | None
    text: str


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
        guess = charset_normalizer.from_bytes(body[:100_000]).best()
        return body.decode(guess.encoding if guess else "cp1252", errors="replace")


def read_page(body: bytes, content_type: str) -> Read:
    """Return title and main text; of HTML without menus, scripts and styles, of other text all of it."""
    text = decoded(body, content_type)
    if content_type.partition(";")[0].strip().lower() not in HTML:
        return Read(None, text.strip())
    try:
        tree = lxml.html.document_fromstring(_without_declaration(text))
    except lxml.etree.ParserError:  # nothing but blanks and comments
        return Read(None, "")
    main = trafilatura.extract(text, include_comments=False, include_tables=True, deduplicate=False)
    return Read(_title(tree), main or _all_text(tree))


def _known(label: str) -> str | None:
    try:
        name = codecs.lookup(label).name if label else None
    except LookupError:
        return None
    return None if name is None else MEANT.get(name, name)


def _without_declaration(text: str) -> str:
    """Drop `<?xml encoding=…?>`: it speaks of bytes, and lxml refuses it in text."""
    return re.sub(r"^\s*<\?xml[^>]*\?>", "", text)


def _title(tree: lxml.html.HtmlElement) -> str | None:
    for path in ("//head/title/text()", "//meta[@property='og:title']/@content", "//h1//text()"):
        title = " ".join(" ".join(tree.xpath(path)).split())
        if title:
            return title[:300]
    return None


def _all_text(tree: lxml.html.HtmlElement) -> str:
    """Return everything visible, for pages too small or odd to have a main text."""
    for element in tree.xpath("|".join(f"//{name}" for name in UNSEEN)):
        element.drop_tree()
    lines = (" ".join(line.split()) for line in tree.text_content().splitlines())
    return "\n".join(line for line in lines if line)
