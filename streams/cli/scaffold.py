"""Decides where a new thing's files go, and writes them from the templates; never over a file that exists."""

from __future__ import annotations

import importlib.util
import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, NamedTuple

from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Mapping

PLURALS = {
    "agent": "agents",
    "tool": "tools",
    "source": "sources",
    "reaction": "reactions",
    "table": "tables",
}


class ScaffoldError(StreamsError):
    """Raised when a new thing cannot be written: a bad name, a file in the way, or no place for it."""


class Place(NamedTuple):
    """Where files go: the module's folder and dotted name, and the folder of its test."""

    folder: Path
    package: str
    tests: Path


def place(kind: str, package: str | None, here: Path) -> Place:
    """Return where a thing of `kind` belongs: in `package`, or in this repository's own folder for its kind.

    A package may have a folder for each kind (`agents/`, …), which is then used. ScaffoldError if there is none.
    """
    plural = PLURALS[kind]
    if package is None:
        if (here / "streams" / "define").is_dir():
            return Place(here / "streams" / plural, f"streams.{plural}", here / "tests" / "unit" / plural)
        message = "No package to write into: set STREAMS_APPS to yours, or give --into PACKAGE."
        raise ScaffoldError(message)
    folder = _folder(package)
    if (folder / plural).is_dir():
        folder, package = folder / plural, f"{package}.{plural}"
    return Place(folder, package, here / "tests")


def write(kind: str, name: str, where: Place) -> list[Path]:
    """Write module, test and example of a new thing and return their paths; ScaffoldError if one exists."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        message = f"{name!r} is no name for a function: use small letters, digits and _."
        raise ScaffoldError(message)
    words = {
        "name": name,
        "Name": "".join(part.capitalize() for part in name.split("_")),
        "header": name.replace("_", "-"),
        "module": f"{where.package}.{name}",
    }
    wanted = {
        where.folder / f"{name}.py": f"{kind}.py",
        where.tests / f"test_{name}.py": f"{kind}_test.py",
        where.tests / f"{name}.json": f"{kind}.json",
    }
    for path in wanted:
        if path.exists():
            message = f"{path} exists: choose another name, or remove it."
            raise ScaffoldError(message)
    for path, template in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(template, words), "utf-8")
    return list(wanted)


def _filled(template: str, words: Mapping[str, str]) -> str:
    text = files("streams.cli.template").joinpath(f"{template}.txt").read_text("utf-8")
    return Template(text).substitute(words)


def _folder(package: str) -> Path:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        message = f"{package!r} is no importable package: run this where it is, or install it."
        raise ScaffoldError(message)
    return Path(next(iter(spec.submodule_search_locations)))
