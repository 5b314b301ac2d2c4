"""CloudEvents attributes as Kafka headers, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.attributes import Attributes, milliseconds, new_id, rfc3339
from schemas.errors import SchemaError
from schemas.trace_context import derived

HEADERS = [
    ("ce_id", b"1"),
    ("ce_type", b"a.b"),
    ("ce_source", b"/s"),
    ("ce_time", b"2026-11-24T19:46:08.123Z"),
    ("ce_specversion", b"1.0"),
    ("content-type", b"application/avro"),
]


def test_the_headers_are_those_of_the_binding() -> None:
    attributes = Attributes("1", "a.b", "/s", 1795549568123)
    trace = ("traceparent", derived("1").header.encode())  # it begins one: nothing is known that it comes from
    assert sorted(attributes.to_headers()) == sorted([*HEADERS, trace])


def test_headers_survive_the_round_trip_with_trace_and_others() -> None:
    attributes = Attributes("1", "a.b", "/s", 5, traceparent="00-a-b-01", extra={"agent": "x", "pool": "é"})
    assert Attributes.from_headers(attributes.to_headers()) == attributes


@pytest.mark.parametrize("name", ["ce_id", "ce_type", "ce_source", "ce_time", "ce_specversion"])
def test_a_missing_attribute_is_named(name: str) -> None:
    with pytest.raises(SchemaError, match=name):
        Attributes.from_headers([header for header in HEADERS if header[0] != name])


def test_no_headers_at_all_are_no_event() -> None:
    with pytest.raises(SchemaError, match="not a CloudEvent"):
        Attributes.from_headers(None)


def test_the_records_time_stands_in_for_a_missing_one() -> None:
    assert Attributes.from_headers([h for h in HEADERS if h[0] != "ce_time"], default_time=9).time == 9


@pytest.mark.parametrize(
    "wrong", [("ce_specversion", b"0.3"), ("ce_time", b"yesterday"), ("ce_time", b"2026-01-01T00:00:00")]
)
def test_a_wrong_attribute_is_named(wrong: tuple[str, bytes]) -> None:
    with pytest.raises(SchemaError, match=wrong[0]):
        Attributes.from_headers([*HEADERS, wrong])


@given(st.integers(-(10**12), 10**14))
def test_times_survive_to_the_millisecond(ms: int) -> None:
    assert milliseconds(rfc3339(ms)) == ms


def test_times_with_other_offsets_and_precision_are_understood() -> None:
    assert milliseconds("1970-01-01T01:00:00.123456789+01:00") == 123


def test_ids_are_distinct() -> None:
    assert len({new_id() for _ in range(1000)}) == 1000
