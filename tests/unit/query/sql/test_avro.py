"""Records decoded as columns have the values that the codec reads, and whatever is broken is left to it."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from fastavro import schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.query.sql.avro import PREFIX, AvroColumns
from streams.query.sql.views import VIEWS
from tests.unit.query.sql._log import MemoryLog

USAGE = {
    "type": "record",
    "name": "Usage",
    "fields": [{"name": "tokens", "type": "long"}, {"name": "cost", "type": "double"}],
}
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Sample",
    "fields": [
        {"name": "skipped", "type": {"type": "array", "items": ["null", "string"]}},
        {"name": "labels", "type": {"type": "map", "values": USAGE}},
        {"name": "text", "type": "string"},
        {"name": "number", "type": "long"},
        {"name": "perhaps", "type": ["null", "string"]},
        {"name": "usage", "type": ["null", "Usage"]},
        {"name": "flag", "type": "boolean"},
        {"name": "again", "type": "Usage"},
        {"name": "json", "type": {"type": "string", "logicalType": "json"}},
        {"name": "maybe", "type": ["null", {"type": "string", "logicalType": "json"}]},
        {"name": "last", "type": "string"},
    ],
}
MEMBERS = ("text", "number", "perhaps", "usage.tokens", "usage.cost", "flag", "again.cost", "json.a.b", "maybe")

_long = st.integers(-(1 << 63), (1 << 63) - 1)
_usage = st.fixed_dictionaries({"tokens": _long, "cost": st.floats(allow_nan=False)})
_text = st.text(max_size=200)
_record = st.fixed_dictionaries(
    {
        "skipped": st.lists(st.none() | _text, max_size=5),
        "labels": st.dictionaries(_text, _usage, max_size=3),
        "text": _text,
        "number": _long,
        "perhaps": st.none() | _text,
        "usage": st.none() | _usage,
        "flag": st.booleans(),
        "again": _usage,
        "json": st.sampled_from(['{"a": {"b": 1}}', '{"a": 2}', "null", '["a"]', '{"a": {"b": {"c": []}}}']),
        "maybe": st.sampled_from([None, "null", "1", '{"x": "y"}']),
        "last": _text,
    }
)


def written(record: dict[str, Any]) -> bytes:
    """Return a record's bytes with a prefix."""
    out = BytesIO()
    out.write(bytes(PREFIX))
    schemaless_writer(out, SCHEMA, record)
    return out.getvalue()


def member(record: dict[str, Any], path: str) -> Any:
    """Return a member of a record, None where what holds it is None."""
    value: Any = record
    for number, name in enumerate(path.split(".")):
        value = value.get(name) if isinstance(value, dict) else None
        if number == 0 and name in ("json", "maybe") and value is not None:
            value = json.loads(value)
    return value


def listed(values: Any) -> list[Any]:
    """Return values of an array or list."""
    return values if isinstance(values, list) else list(values.to_pylist())


@settings(deadline=None, max_examples=50)
@given(st.lists(_record, min_size=1, max_size=20))
def test_columns_have_the_values_of_the_records(records: list[dict[str, Any]]) -> None:
    read = AvroColumns(SCHEMA, MEMBERS).read([written(record) for record in records])
    assert read is not None
    for path in MEMBERS:
        expected = [member(record, path) for record in records]
        found = listed(read[path]) if path in read else [None] * len(records)
        assert found == expected


@settings(deadline=None, max_examples=100)
@given(st.lists(_record, min_size=1, max_size=3), st.data())
def test_broken_records_are_noticed_or_harmless(records: list[dict[str, Any]], data: st.DataObject) -> None:
    values = [written(record) for record in records]
    broken = data.draw(st.integers(0, len(values) - 1))
    value = bytearray(values[broken])
    if data.draw(st.booleans()):
        value = value[: data.draw(st.integers(0, len(value)))]
    elif len(value) > PREFIX:
        value[data.draw(st.integers(PREFIX, len(value) - 1))] = data.draw(st.integers(0, 255))
    values[broken] = bytes(value)
    read = AvroColumns(SCHEMA, MEMBERS).read(values)
    for number, record in enumerate(records):
        if number != broken and read is not None:
            assert all(listed(read[path])[number] == member(record, path) for path in read)


def test_only_columns_of_fitting_types_are_read() -> None:
    reader = AvroColumns(SCHEMA, MEMBERS)
    assert reader.fits({"text": "VARCHAR", "number": "BIGINT", "usage.cost": "DOUBLE", "flag": "BOOLEAN"})
    assert reader.fits({"absent": "VARCHAR", "usage.absent": "BIGINT"})
    assert not reader.fits({"text": "BIGINT"})
    assert not reader.fits({"usage": "VARCHAR"})
    assert not reader.fits({"skipped": "JSON"})
    assert not reader.fits({"text.member": "VARCHAR"})
    assert reader.fits({"json.a.b": "BIGINT", "maybe": "JSON"})


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_has_the_same_rows_either_way(log: MemoryLog, monkeypatch: pytest.MonkeyPatch, view: str) -> None:
    sql = f"select * exclude (data) from {view} order by all"
    fast = log.rows(sql)
    monkeypatch.setattr(AvroColumns, "fits", lambda *_: False)
    assert log.rows(sql) == fast
