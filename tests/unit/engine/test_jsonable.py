"""JSON out and in: digests that hold in every process, records that read back as what they were."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError

from streams.engine.jsonable import CUT, args_to_json, digest, from_json, shown, to_json


class Page(BaseModel):
    url: str
    seen: datetime
    key: UUID
    words: set[str] = set()


PAGE = Page(url="u", seen=datetime(2026, 1, 2, tzinfo=UTC), key=UUID(int=1), words={"a"})


def test_a_record_reads_back_as_the_type_that_it_was() -> None:
    assert from_json(to_json(PAGE), Page) == PAGE
    assert from_json(to_json([PAGE]), list[Page]) == [PAGE]
    assert from_json(to_json((1, "a")), tuple[int, str]) == (1, "a")
    assert from_json(to_json(b"raw"), bytes) == b"raw"
    with pytest.raises(ValidationError):
        from_json({"url": 1}, Page)


def test_plain_data_is_copied_so_that_a_function_cannot_change_its_record() -> None:
    record = {"a": [1]}
    copy = from_json(record, None)
    copy["a"].append(2)
    assert record == {"a": [1]}


def test_digests_ignore_the_order_of_keys_and_of_sets_in_every_process() -> None:
    script = (
        "from streams.engine.jsonable import args_to_json, digest;"
        "print(digest(args_to_json([{'b': 1, 'a': {'x', 'y', 'z', 'w'}}, frozenset('streams')])))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(seen) == 1
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})


def test_arguments_without_a_json_form_are_named_by_their_type() -> None:
    assert args_to_json([object(), 1]) == ["<builtins.object>", 1]


def test_large_inputs_are_cut_for_people() -> None:
    assert shown({"small": 1}) == {"small": 1}
    cut = shown({"large": "x" * CUT})
    assert cut["cut"]
    assert cut["bytes"] > CUT
    assert len(cut["begins"]) == 256
