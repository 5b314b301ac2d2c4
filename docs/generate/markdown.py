"""Small pieces of Markdown that every generated page is made of."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a vertical bar in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def code(text: object) -> str:
    """Return text as a code span, or nothing for an empty text."""
    return f"`{text}`" if str(text) else ""


def prose(doc: str) -> str:
    """Return a docstring as Markdown: its paragraphs, reST's double backticks as single ones."""
    return inspect.cleandoc(doc).replace("``", "`").strip()


def one_line(doc: str) -> str:
    """Return a docstring as one line, for a cell."""
    return " ".join(prose(doc).split())


def about(name: str, doc: str) -> str:
    """Return the sentences of a docstring that begin with a name in backticks, and those that follow them."""
    parts = [part for block in doc.split("\n\n") for part in re.split(r"(?<=\.)\s+(?=`\w+` )", one_line(block))]
    found = " ".join(part.removeprefix(f"`{name}` ") for part in parts if part.startswith(f"`{name}` "))
    text = found.removeprefix("is ").removeprefix("are ")
    return text[:1].upper() + text[1:]


def default_of(parameter: inspect.Parameter) -> str:
    """Return the default of a parameter as code, "required" if there is none."""
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return ""
    return "required" if parameter.default is parameter.empty else code(repr(parameter.default))


def type_of(annotation: Any) -> str:
    """Return an annotation as it is written."""
    if annotation is inspect.Parameter.empty:
        return ""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return code(re.sub(r"\b(?:typing|collections\.abc|datetime)\.", "", text))


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))
