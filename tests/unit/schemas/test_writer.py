"""The writer of flat records writes what the Avro library writes, or leaves the record to it."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from schemas.avro.codec import Codec, encode
from schemas.avro.datum import datum_of
from schemas.avro.derive import avro_schema
from schemas.avro.registry import FileRegistry
from schemas.avro.writer import UnusualError, flat_writer
from schemas.errors import UnencodableError
from schemas.journal import JournalEntry
from schemas.values import Json
from tests.unit.schemas.models import Everything


class Flat(BaseModel):
    """Every shape that is written without the library."""

    text: str
    count: int
    share: float
    yes: bool
    data: bytes
    anything: Json = None
    note: str | None = None
    more: int | None = 7
    part: float | None = None
    maybe: bool | None = None
    raw: bytes | None = None


class Kind(StrEnum):
    """Text of another type."""

    ONE = "one"


def by_library(record: BaseModel) -> bytes:
    out = io.BytesIO()
    schemaless_writer(out, parse_schema(avro_schema(type(record))), datum_of(type(record))(record.__dict__))
    return out.getvalue()


longs = st.integers(-(2**63), 2**63 - 1)
values = st.none() | st.booleans() | longs | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=80)
records = st.builds(
    Flat,
    text=st.text(max_size=300),
    count=longs,
    share=st.floats(),
    yes=st.booleans(),
    data=st.binary(max_size=300),
    anything=values | st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=9), values, max_size=3),
    note=st.none() | st.text(max_size=70),
    more=st.none() | longs,
    part=st.none() | st.floats(),
    maybe=st.none() | st.booleans(),
    raw=st.none() | st.binary(max_size=9),
)


@given(records)
def test_its_bytes_are_those_of_the_library(record: Flat) -> None:
    write = flat_writer(Flat, avro_schema(Flat))
    assert write is not None
    assert write(list(record.__dict__.values())) == by_library(record)


@pytest.mark.parametrize(
    "number", [*range(-70, 70), *(s * 2**n + d for n in range(7, 63) for s in (1, -1) for d in (-1, 0))]
)
def test_integers_of_every_length(number: int) -> None:
    record = Flat(text="", count=number, share=0.0, yes=False, data=b"", more=number)
    assert encode(record, 1)[5:] == by_library(record)


@pytest.mark.parametrize(
    "other",
    [
        {"text": None},
        {"text": b"bytes"},
        {"text": "\ud800"},
        {"count": 2**63},
        {"count": "1"},
        {"share": None},
        {"data": "text"},
        {"note": 1},
    ],
)
def test_what_is_no_value_of_its_shape_is_refused_as_before(other: dict[str, Any]) -> None:
    codec = Codec(FileRegistry(own=[Flat]))
    fields = {**Flat(text="", count=1, share=0.0, yes=False, data=b"").__dict__, **other}
    with pytest.raises(UnencodableError):
        codec.encode_fields(Flat, fields)
    with pytest.raises(UnencodableError):
        codec.encode_values(Flat, list(fields.values()))


def test_the_library_takes_what_is_unusual_but_has_a_form() -> None:
    codec = Codec(FileRegistry(own=[Flat]))
    plain = Flat(text="one", count=1, share=2.0, yes=True, data=b"")
    odd = {**plain.__dict__, "text": Kind.ONE, "count": True, "share": 2}
    assert codec.encode_fields(Flat, odd) == codec.encode(plain)


def test_json_takes_what_has_a_form_as_pydantic_gives_it() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    record = Flat(text="", count=1, share=0.0, yes=False, data=b"")
    for value in (
        at,
        {1: "x"},
        {"in": [at]},
        Flat(text="t", count=1, share=0.5, yes=True, data=b""),
        float("nan"),
        2**63,
    ):
        changed = record.model_copy(update={"anything": value})
        assert encode(changed, 1)[5:] == by_library(changed)


def test_another_value_of_an_equal_one_is_not_taken_for_it() -> None:
    """1 == 1.0 == True: what is remembered of one must not let the others pass."""
    write = flat_writer(JournalEntry, avro_schema(JournalEntry))
    assert write is not None
    fields = JournalEntry(run_id="r", path="1", seq=1, kind="step", status="completed").__dict__
    assert write(list(fields.values()))
    with pytest.raises(UnusualError):
        write(list({**fields, "seq": 1.0}.values()))


def test_what_is_not_flat_is_left_to_the_library() -> None:
    assert flat_writer(Everything, avro_schema(Everything)) is None
