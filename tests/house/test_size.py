"""Modules stay small enough to be read in one go."""

from __future__ import annotations

import ast
from statistics import median

import pytest

from tests.house.files import ROOT, files, modules

pytestmark = pytest.mark.house


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in files() if path.suffix == ".py"}
    assert [f"{path.relative_to(ROOT)}: {lines}" for path, lines in lengths.items() if lines > 400] == []


def test_the_median_module_stays_near_120_lines() -> None:
    lengths = [len(path.read_text("utf-8").splitlines()) for path in modules()]
    assert median([lines for lines in lengths if lines > 5]) <= 150


def test_every_module_opens_with_why_it_exists() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in modules()
        if (text := path.read_text("utf-8")) and not ast.get_docstring(ast.parse(text))
    ]
    assert silent == []
