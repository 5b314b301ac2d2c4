"""Derivation: each Python type has one Avro form, the same every time."""

from __future__ import annotations

import subprocess
import sys
from uuid import uuid4

import pytest
from fastavro import parse_schema
from pydantic import BaseModel, Field, create_model

from schemas import Record
from schemas.avro.derive import avro_schema, canonical, digest
from schemas.errors import SchemaError
from tests.unit.schemas.models import Everything, Tree

TYPES = {
    "name": "string",
    "count": "long",
    "share": "double",
    "good": "boolean",
    "raw": "bytes",
    "when": {"type": "long", "logicalType": "timestamp-micros"},
    "day": {"type": "int", "logicalType": "date"},
    "ident": "string",
    "link": ["null", "string"],
    "colour": "string",
    "level": "long",
    "mode": "string",
    "note": ["null", "string"],
    "maybe": ["null", {"type": "array", "items": "long"}],
    "tags": {"type": "map", "values": "string"},
    "anything": {"type": "string", "logicalType": "json"},
    "data": {"type": "string", "logicalType": "json"},
    "either": {"type": "string", "logicalType": "json"},
    "price": {"type": "string", "logicalType": "json"},
}
DEFAULTS = {"share": 0.5, "raw": "\xff\x00", "day": 20455, "colour": "red", "level": 1, "note": None, "data": "null"}


def fields(model: type[BaseModel]) -> dict[str, dict[str, object]]:
    return {field["name"]: field for field in avro_schema(model)["fields"]}


@pytest.mark.parametrize("name", TYPES)
def test_each_kind_of_field_has_its_avro_type(name: str) -> None:
    assert fields(Everything)[name]["type"] == TYPES[name]


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_take_the_form_that_avro_gives_them(name: str) -> None:
    assert fields(Everything)[name]["default"] == DEFAULTS[name]


def test_required_fields_have_no_default() -> None:
    assert "default" not in fields(Everything)["count"]


def test_an_optional_field_without_default_reads_as_null_where_it_is_missing() -> None:
    model = create_model("Loose", a=(int | None, ...))
    assert fields(model)["a"] == {"name": "a", "type": ["null", "long"], "default": None}


def test_an_optional_field_with_a_default_puts_its_branch_first() -> None:
    model = create_model("Given", a=(int | None, 3))
    assert fields(model)["a"] == {"name": "a", "type": ["long", "null"], "default": 3}


def test_a_random_default_is_no_default_of_the_schema() -> None:
    class Lucky(Record):
        ident: str = Field(default_factory=lambda: uuid4().hex)

    assert "default" not in fields(Lucky)["ident"]


def test_a_nested_default_is_whole() -> None:
    assert fields(Everything)["page"]["default"] == {"url": "about:blank", "words": 0, "fetched": None}


def test_a_model_that_contains_itself_is_json_text_inside() -> None:
    json = {"type": "string", "logicalType": "json"}
    assert fields(Tree)["children"]["type"] == {"type": "array", "items": json}
    assert fields(Everything)["tree"]["type"] == json


def test_a_model_that_is_mentioned_twice_is_defined_once() -> None:
    assert fields(Everything)["best"]["type"] == ["null", "tests.Page"]


def test_the_avro_library_accepts_the_schema() -> None:
    parse_schema(avro_schema(Everything))


def test_two_nested_classes_with_one_name_are_refused() -> None:
    one, two = create_model("Same", a=(int, ...)), create_model("Same", b=(int, ...))
    both = create_model("Both", one=(one, ...), two=(two, ...))
    with pytest.raises(SchemaError, match="rename one"):
        avro_schema(both)


def test_the_schema_is_equal_in_another_process() -> None:
    code = (
        "from schemas.avro.derive import avro_schema, digest;from schemas.run import RunSubmitted;"
        "print(digest(avro_schema(RunSubmitted)))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    from schemas.run import RunSubmitted

    assert other.stdout.strip() == digest(avro_schema(RunSubmitted))


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})
