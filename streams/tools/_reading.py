"""Finds the title and the main text of a page, so that a model reads what a person would.

Its parsers and their regular expressions take a text at its worst in more than linear time: call it in
`_bounded_process`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import lxml.etree  # type: ignore[import-untyped]  # its stubs are a package of their own
import lxml.html  # type: ignore[import-untyped]  # its stubs are a package of their own
import trafilatura

from streams.tools.charset import ENCODINGS, declared

UNSEEN = ("script", "style", "noscript", "template", "iframe", "object", "svg", "head")
GUESSED = 100_000  # bytes that are looked at to guess an encoding
CODECS = frozenset(name.replace("-", "_") for name in ENCODINGS.values())
HTML = frozenset({"text/html", "application/xhtml+xml", ""})


class Read(NamedTuple):
    """What a page says; `text` is whole, paragraphs on lines of their own."""

    title: str | None
    text: str


def read_page(body: bytes, content_type: str) -> Read:
    """Return title and main text; of HTML without menus, scripts and styles, of other text all of it."""
    text = _decoded(body, content_type)
    if content_type.partition(";")[0].strip().lower() not in HTML:
        return Read(None, text.strip())
    try:
        tree = lxml.html.document_fromstring(_without_declaration(text))
    except lxml.etree.ParserError:  # nothing but blanks and comments
        return Read(None, "")
    main = trafilatura.extract(text, include_comments=False, include_tables=True, deduplicate=False)
    return Read(_title(tree), main or _all_text(tree))


def _decoded(body: bytes, content_type: str) -> str:
    """Return the text of a page, its encoding guessed where it does not say."""
    text = declared(body, content_type)
    if text is not None:
        return text
    import charset_normalizer  # noqa: PLC0415 - rarely needed, and large

    guess = charset_normalizer.from_bytes(body[:GUESSED]).best()
    known = guess.encoding if guess is not None and guess.encoding in CODECS else "cp1252"
    return body.decode(known, errors="replace")


def _without_declaration(text: str) -> str:
    """Drop `<?xml encoding=…?>`: it is about bytes, and lxml refuses it in text."""
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
