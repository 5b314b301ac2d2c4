"""What people see of an answer, and what programs get."""

from __future__ import annotations

import json

import pytest

from streams.cli.io.options import OutputFormat
from streams.cli.io.output import print_record

pytestmark = pytest.mark.unit
RECORD = {"value": {"took": {"first": 1, "bins": [0] * 230}, "names": ["a"] * 30}, "few": [1, 2]}


def test_long_lists_of_numbers_are_counted_for_people_and_whole_for_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_record(RECORD, OutputFormat.TEXT)
    shown = capsys.readouterr().out
    assert "230 numbers" in shown
    assert "0,0,0" not in shown
    assert "[1,2]" in shown
    assert shown.count('"a"') == 30
    print_record(RECORD, OutputFormat.JSON)
    assert json.loads(capsys.readouterr().out) == RECORD
