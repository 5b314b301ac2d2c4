"""JSON comes as it is, from a file or from standard input; what is wrong with it is said."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from streams.cli.data import DataError, read_json, read_values

pytestmark = pytest.mark.unit


def test_given_as_it_is() -> None:
    assert read_json('{"a": [1, null]}') == {"a": [1, None]}


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "input.json"
    path.write_text('{"a": 1}')
    assert read_json(f"@{path}") == {"a": 1}


def test_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("[1]"))
    assert read_json("-") == [1]


def test_a_missing_file_is_named() -> None:
    with pytest.raises(DataError, match=r"nowhere\.json: No such file"):
        read_json("@nowhere.json")


def test_json_lines_are_many_values() -> None:
    assert read_values('{"a": 1}\n\n{"a": 2}\n') == [{"a": 1}, {"a": 2}]


def test_one_document_over_many_lines_is_one_value() -> None:
    assert read_values('{\n"a": 1\n}\n') == [{"a": 1}]


def test_a_broken_line_is_numbered() -> None:
    with pytest.raises(DataError, match="line 2: not JSON"):
        read_values('{"a": 1}\n{"a": \n{"a": 3}')
