"""Compatibility: the truth table of what a new schema may change."""

from __future__ import annotations

import re
from typing import Any

import pytest

from schemas.avro.compat import backward, backward_transitive
from schemas.avro.derive import avro_schema
from tests.unit.schemas.models import Everything, Tree


def record(*fields: dict[str, Any], name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def field(kind: Any, name: str = "a", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


MICROS = {"type": "long", "logicalType": "timestamp-micros"}
JSON = {"type": "string", "logicalType": "json"}
LIST = {"type": "array", "items": "long"}
MAP = {"type": "map", "values": "long"}

SAME = [
    ("long", "int"),
    ("double", "int"),
    ("double", "long"),
    ("double", "float"),
    ("string", "string"),
    ("bytes", "string"),
    ("string", "bytes"),
    (["null", "string"], "string"),
    (["null", "string"], "null"),
    (["string", "null"], ["null", "string"]),
    (["null", "double"], ["null", "long"]),
    (LIST, {"type": "array", "items": "int"}),
    (MAP, {"type": "map", "values": "int"}),
    (record(field("long", "b", default=1), name="N"), record(name="N")),
    (record(name="N"), record(field("long", "b"), name="N")),
    (record(field("long", "c", aliases=["b"]), name="N"), record(field("long", "b"), name="N")),
    (record(name="x.N"), record(name="y.N")),
    ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, {"type": "enum", "name": "E", "symbols": ["A"]}),
    ({"type": "enum", "name": "E", "symbols": ["A"], "default": "A"}, {"type": "enum", "name": "E", "symbols": ["B"]}),
    ({"type": "fixed", "name": "F", "size": 4}, {"type": "fixed", "name": "F", "size": 4}),
]
OTHER = [
    ("int", "long", "was long, is int"),
    ("long", "double", "was double, is long"),
    ("string", "long", "was long, is string"),
    ("string", ["null", "string"], "was null, is string"),
    (["null", "string"], "long", "was long, is null or string"),
    (["null", "long"], ["null", "string"], "was string"),
    (MICROS, "long", "is timestamp-micros"),
    (JSON, "string", "is json"),
    (LIST, {"type": "array", "items": "string"}, r"a\[\]: was string, is long"),
    (MAP, {"type": "map", "values": "string"}, r"a\{\}: was string, is long"),
    (LIST, MAP, "was map, is array"),
    (record(field("long", "b"), name="N"), record(name="N"), r"a\.b: is new and has no default"),
    (record(name="N"), record(name="M"), "was record M, is N"),
    (["null", record(field("long", "b"), name="N")], record(name="N"), r"a\.b: is new"),
    (
        {"type": "enum", "name": "E", "symbols": ["A"]},
        {"type": "enum", "name": "E", "symbols": ["B"]},
        "lost the symbols",
    ),
    ({"type": "fixed", "name": "F", "size": 4}, {"type": "fixed", "name": "F", "size": 8}, "was fixed, is fixed"),
]


@pytest.mark.parametrize(("new", "old"), SAME)
def test_compatible(new: Any, old: Any) -> None:
    assert backward(record(field(new)), record(field(old))) == []


@pytest.mark.parametrize(("new", "old", "problem"), OTHER)
def test_incompatible(new: Any, old: Any, problem: str) -> None:
    found = backward(record(field(new)), record(field(old)))
    assert len(found) == 1
    assert re.search(problem, found[0]), found[0]


@pytest.mark.parametrize("model", [Everything, Tree])
def test_every_schema_can_read_itself_also_a_recursive_one(model: Any) -> None:
    assert backward(avro_schema(model), avro_schema(model)) == []


def test_a_change_inside_a_recursive_record_is_found() -> None:
    old = record(field({"type": "array", "items": "R"}, "children"))
    new = record(field({"type": "array", "items": "R"}, "children"), field("long", "size"))
    assert backward(new, old) == ["size: is new and has no default; give it one"]


def test_transitive_compares_with_every_version_and_names_it() -> None:
    v1, v2 = record(field("string")), record(field("string"), field("long", "b", default=0))
    v3 = record(field("string"), field("long", "b"))
    assert backward_transitive(v3, [("v2", v2)]) == []
    assert backward_transitive(v3, [("v1", v1), ("v2", v2)]) == ["v1: b: is new and has no default; give it one"]
