"""Modules stay small enough to be read in one go."""

from __future__ import annotations

import ast

import pytest

from tests.house.files import ROOT, files, modules

pytestmark = pytest.mark.house


def test_no_module_is_longer_than_500_lines() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in files() if path.suffix == ".py"}
    assert [f"{path.relative_to(ROOT)}: {lines}" for path, lines in lengths.items() if lines > 500] == []


def test_every_module_opens_with_why_it_exists() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in modules()
        if (text := path.read_text("utf-8")) and not ast.get_docstring(ast.parse(text))
    ]
    assert silent == []
