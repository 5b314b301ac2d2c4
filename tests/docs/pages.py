"""Reads the pages of the documentation: their code blocks, headings and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.house.files import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DOCS: Final = ROOT / "docs"
FILES: Final = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")))
GENERATED: Final = frozenset((DOCS / "reference").glob("*.md"))
_FENCE: Final = re.compile(r"^( *)```(.*)$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block; `line` is the line of its first line of code, counted from 1."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def name_of(path: Path) -> str:
    """Return a page's path in the repository."""
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> str:
    """Return a page's text."""
    return path.read_text("utf-8")


def blocks(path: Path) -> list[Block]:
    """Return the code blocks of a page in order; ValueError for one that does not end."""
    found: list[Block] = []
    lines = text_of(path).splitlines()
    number = 0
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        number += 1
        if fence is None:
            continue
        indent, info, start, body = fence[1], fence[2].strip(), number, []
        while number < len(lines) and lines[number].strip() != "```":
            body.append(lines[number].removeprefix(indent))
            number += 1
        if number == len(lines):
            raise ValueError(f"{name_of(path)}:{start}: the code block does not end")
        number += 1
        title = re.search(r'title="([^"]+)"', info)
        found.append(
            Block(name_of(path), start + 1, info.partition(" ")[0], title[1] if title else "", "\n".join(body) + "\n")
        )
    return found


def prose(path: Path) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^( *)```.*?^\1```$", "", text_of(path), flags=re.MULTILINE | re.DOTALL)


def every(*languages: str) -> list[Block]:
    """Return the blocks of all pages in these languages."""
    return [block for path in FILES for block in blocks(path) if block.language in languages]
