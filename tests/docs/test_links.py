"""Links lead to pages and headings that exist, the navigation has every page, and the site builds strictly."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from tests.docs.pages import DOCS, FILES, name_of, prose, text_of
from tests.house.files import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SITE = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in LINK.findall(prose(path)):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / unquote(file)).resolve() if file else path
        assert there.exists(), f"{name_of(path)}: {target}"
        assert not anchor or anchor in anchors(there), f"{name_of(path)}: {target}"


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as the site's generator makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE):
        slug = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())
        found.add(slug if slug not in found else f"{slug}_1")
    return found


def test_the_navigation_has_every_page_once() -> None:
    listed = list(navigated(SITE["nav"]))
    assert len(listed) == len(set(listed))
    assert set(listed) == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


def navigated(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the pages of the navigation."""
    for entry in entries:
        for value in entry.values():
            if isinstance(value, str):
                yield value
            else:
                yield from navigated(value)


def test_every_page_has_one_title() -> None:
    for path in DOCS.rglob("*.md"):
        assert len(re.findall(r"^# ", prose(path), re.MULTILINE)) == 1, name_of(path)


def test_the_readme_has_at_most_200_lines() -> None:
    assert len(text_of(ROOT / "README.md").splitlines()) <= 200


def test_the_site_builds_with_strict_links() -> None:
    """The generator is in a dependency group of its own, which a plain checkout does not install."""
    environment = {**os.environ, "NO_COLOR": "1"}
    command = ["uv", "run", "--isolated", "--only-group", "docs", "zensical", "build", "--strict", "--clean"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert built.returncode == 0, built.stdout + built.stderr
