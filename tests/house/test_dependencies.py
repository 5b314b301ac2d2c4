"""Whatever is imported is a dependency of our own, pinned exactly, with a line that says what it is for."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from tests.house.files import PACKAGES, ROOT, modules

pytestmark = pytest.mark.house

PROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
DECLARED = tomllib.loads(PROJECT)["project"]
PINNED = [*DECLARED["dependencies"], *(one for extra in DECLARED["optional-dependencies"].values() for one in extra)]
BROUGHT = {"pydantic_evals", "pytest"}
"""What is imported only where users have it already."""


def imported() -> set[str]:
    """Return the top names that our modules import, in functions too."""
    found: set[str] = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - set(PACKAGES)


def test_every_import_is_declared() -> None:
    declared = {_plain(requirement.partition("==")[0]) for requirement in PINNED}
    homes = packages_distributions()
    foreign = {
        name: homes.get(name, [])
        for name in imported() - BROUGHT
        if not {_plain(home) for home in homes.get(name, [name])} & declared
    }
    assert set(foreign) <= {"pydantic_core"}, foreign  # pydantic's own core, of the one version that pydantic takes


def test_every_dependency_is_pinned_and_explained() -> None:
    assert [requirement for requirement in PINNED if "==" not in requirement] == []
    unexplained = [
        requirement for requirement in PINNED if not re.search(rf'"{re.escape(requirement)}",? *# ', PROJECT)
    ]
    assert unexplained == []


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
