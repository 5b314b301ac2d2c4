"""The page of the threat model names tests that exist."""

from __future__ import annotations

import re

import pytest

from tests.house.files import ROOT

pytestmark = pytest.mark.house

PAGE = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
ROWS = [line for line in PAGE.partition("## Boundaries")[2].splitlines() if line.startswith("| ")][2:]


def test_each_boundary_names_a_test_that_exists() -> None:
    assert len(ROWS) > 20
    for row in ROWS:
        cells = row.strip("| ").split(" | ")
        assert len(cells) == 4, row
        named = re.findall(r"`([^`]+)`", cells[3])
        assert named, row
        for one in named:
            path, _, test = one.partition("::")
            file = ROOT / "tests" / path
            assert file.exists(), one
            assert not test or f"def {test}(" in file.read_text("utf-8"), one
