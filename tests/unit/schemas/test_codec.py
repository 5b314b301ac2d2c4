"""The codec: what goes in comes out, in the Confluent wire format, whichever version wrote it."""

from __future__ import annotations

import contextlib
import io
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, HttpUrl, create_model

from schemas import Record
from schemas.avro.codec import Codec, encode, schema_id_of
from schemas.avro.derive import avro_schema
from schemas.avro.registry import FileRegistry
from schemas.errors import UndecodableError, UnencodableError
from schemas.run import RunSubmitted
from tests.unit.schemas.models import Colour, Everything, Five, Level, Page, Tree

NOW = datetime(2026, 11, 24, 20, 0, 0, 123456, tzinfo=UTC)
FULL = Everything(
    name="n",
    count=-(2**63),
    when=NOW,
    ident=UUID(int=7),
    link=HttpUrl("https://example.org/a"),
    colour=Colour.BLUE,
    level=Level.HIGH,
    mode="slow",
    note="é",
    page=Page(url="u", words=3, fetched=NOW),
    best=Page(url="b"),
    pages=[Page(url="1"), Page(url="2")],
    maybe=[1, 2],
    tags={"a": "b"},
    by_name={"x": Page(url="x")},
    tree=Tree(name="root", children=[Tree(name="leaf")]),
    anything={"deep": [1, None, "x"]},
    data=[1, 2.5],
    either="text",
    price=Decimal("10.25"),
)


def codec_for(*models: type[BaseModel]) -> Codec:
    return Codec(FileRegistry(own=models))


def test_every_kind_of_field_survives_the_round_trip() -> None:
    codec = codec_for()
    assert codec.decode(codec.encode(FULL), Everything) == FULL


def test_nested_models_come_back_as_models() -> None:
    codec = codec_for()
    back = codec.decode(codec.encode(FULL), Everything)
    assert isinstance(back.tree, Tree)
    assert isinstance(back.tree.children[0], Tree)
    assert isinstance(back.by_name["x"], Page)


def test_defaults_survive_the_round_trip() -> None:
    plain = Everything(name="n", count=1, when=NOW, ident=UUID(int=1))
    codec = codec_for()
    assert codec.decode(codec.encode(plain), Everything) == plain


def test_the_bytes_are_what_any_avro_deserializer_reads() -> None:
    """A zero byte, the id in four bytes, most significant first, and a body that fastavro reads by the schema alone."""
    registry = FileRegistry()
    data = Codec(registry).encode(RunSubmitted(run_id="r", agent="a", input={"x": 1}))
    assert data[0] == 0
    assert int.from_bytes(data[1:5], "big") == registry.id_of(RunSubmitted)
    schema = parse_schema(registry.schema_of(registry.id_of(RunSubmitted)))
    body = io.BytesIO(data[5:])
    values: Any = schemaless_reader(body, schema, None)
    assert values["run_id"] == "r"
    assert values["input"] == '{"x":1}'
    assert not body.read()


def test_fields_alone_encode_as_their_record_does_and_stay_as_they_were() -> None:
    codec, fields = codec_for(), dict(FULL.__dict__)
    assert codec.encode_fields(Everything, fields) == codec.encode(FULL)
    assert fields == FULL.__dict__
    with pytest.raises(UnencodableError):
        codec.encode_fields(Everything, {"name": "n"})


def test_decode_dict_gives_plain_values() -> None:
    codec = codec_for()
    values = codec.decode_dict(codec.encode(FULL))
    assert values["anything"] == {"deep": [1, None, "x"]}
    assert values["tree"] == {"name": "root", "children": [{"name": "leaf", "children": []}]}
    assert values["when"] == NOW


def test_a_naive_time_is_utc_on_every_machine() -> None:
    codec = codec_for()
    page = Page(url="u", fetched=datetime(2026, 1, 1, 12))  # noqa: DTZ001 what the test is about
    assert codec.decode(codec.encode(page), Page).fetched == datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_time_elsewhere_is_the_same_instant() -> None:
    codec = codec_for()
    there = NOW.astimezone(timezone(timedelta(hours=9)))
    assert codec.decode(codec.encode(Page(url="u", fetched=there)), Page).fetched == NOW


# One of each kind that text encodings trip over; drawing from all of Unicode takes the data generator seconds when the
# machine is busy, and a codec that passes bytes on makes no finer distinction.
texts = st.text('aZ0 \0\n"\\\x7f\x80éß\u0301\u07ff\u0800中\u202e\ufeff\uffff\U00010000😀\U0010ffff', max_size=12)
json_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
json_flat = json_leaves | st.lists(json_leaves, max_size=3) | st.dictionaries(texts, json_leaves, max_size=3)
json_values = json_flat | st.lists(json_flat, max_size=2) | st.dictionaries(texts, json_flat, max_size=2)
longs = st.integers(-(2**63), 2**63 - 1)
pages = st.builds(Page, url=texts, words=longs, fetched=st.none() | st.datetimes(timezones=st.just(UTC)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a loaded machine is no property of records
@given(
    st.builds(
        Everything,
        name=texts,
        count=longs,
        share=st.floats(allow_nan=False),
        raw=st.binary(),
        when=st.datetimes(timezones=st.just(UTC)),
        day=st.dates(date(1, 1, 1)),
        ident=st.uuids(),
        link=st.none(),
        note=st.none() | texts,
        page=pages,
        best=st.none() | pages,
        pages=st.lists(pages, max_size=3),
        maybe=st.none() | st.lists(longs, max_size=3),
        tags=st.dictionaries(texts, texts, max_size=3),
        by_name=st.dictionaries(texts, pages, max_size=2),
        tree=st.none(),
        anything=json_values,
        data=json_values,
        either=st.integers(-(2**63), 2**63 - 1) | texts,
        price=st.just(Decimal(0)),
    )
)
def test_any_record_survives_the_round_trip(record: Everything) -> None:
    codec = SHARED
    assert codec.decode(codec.encode(record), Everything) == record
    assert codec.encode(record) == codec.encode(codec.decode(codec.encode(record), Everything))


SHARED = codec_for(Everything)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_undecodable_and_nothing_else(data: bytes) -> None:
    for body in (data, SHARED.encode(FULL)[:5] + data):
        with contextlib.suppress(UndecodableError):
            SHARED.decode(body, Everything)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (None, "no value"),
        (b"", "0 bytes are too few"),
        (b"\0\0\0", "3 bytes are too few"),
        (b'{"not": "avro"}', "first byte is 0x7b"),
        (b"\0\x7f\xff\xff\xff\0", "schema id 2147483647 is unknown"),
    ],
)
def test_what_is_no_record_says_why(data: bytes | None, cause: str) -> None:
    with pytest.raises(UndecodableError, match=cause):
        codec_for().decode(data, Five)


def test_a_broken_or_padded_body_says_so() -> None:
    codec = codec_for()
    data = codec.encode(Five(user="u", count=1, share=1.0, good=True, text="t"))
    with pytest.raises(UndecodableError, match=r"body is no tests\.Five"):
        codec.decode(data[:-1], Five)
    with pytest.raises(UndecodableError, match="1 bytes are left over"):
        codec.decode(data + b"x", Five)


def test_a_value_that_the_model_forbids_is_undecodable() -> None:
    class Strict(Record):
        share: int = Field(ge=0)

    codec = codec_for()
    bad = codec.encode(Strict.model_construct(share=-1))
    with pytest.raises(UndecodableError, match="greater than or equal"):
        codec.decode(bad, Strict)


def test_a_record_of_another_type_is_undecodable_as_this_one() -> None:
    codec = codec_for()
    with pytest.raises(UndecodableError):
        codec.decode(codec.encode(Page(url="u")), Five)


def test_an_integer_over_64_bits_is_unencodable() -> None:
    with pytest.raises(UnencodableError, match="Five cannot be written"):
        codec_for().encode(Five(user="u", count=2**63, share=1.0, good=True, text="t"))


def test_a_lone_surrogate_is_unencodable() -> None:
    with pytest.raises(UnencodableError):
        codec_for().encode(Five.model_construct(user="\ud800", count=1, share=1.0, good=True, text="t"))


def renamed(model: type[Record], name: str) -> type[Record]:
    model.__name__ = name
    return model


class _Before(Record):
    name: str
    gone: int = 0


class _After(Record):
    name: str
    raw: bytes = b"\xff"
    when: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    day: date = date(2026, 1, 1)
    note: str | None = None
    needed: str | None
    page: Page = Page(url="p", fetched=datetime(2026, 1, 1, tzinfo=UTC))
    pages: list[Page] = Field(default_factory=list)
    data: Any = None
    level: Level = Level.HIGH


BEFORE, AFTER = renamed(_Before, "Evolving"), renamed(_After, "Evolving")


def test_a_newer_class_reads_what_an_older_one_wrote_with_its_own_defaults() -> None:
    codec = codec_for(BEFORE, AFTER)
    old = codec.encode(BEFORE.model_validate({"name": "n", "gone": 5}))
    for _ in range(2):  # the defaults belong to the schema and must not have changed after the first
        assert codec.decode(old, AFTER) == AFTER.model_validate({"name": "n", "needed": None})


def test_an_older_class_reads_what_a_newer_one_wrote() -> None:
    codec = codec_for(BEFORE, AFTER)
    new = codec.encode(AFTER.model_validate({"name": "n", "needed": "x"}))
    assert codec.decode(new, BEFORE) == BEFORE.model_validate({"name": "n"})


def nested(depth: int) -> bytes:
    return b'{"children":[' * depth + b"]}" * depth


def test_a_record_nested_without_end_is_undecodable_and_does_not_end_the_process() -> None:
    codec = codec_for()
    start = codec.encode(Tree(name="root"))[:5] + b"\x00"
    text = nested(100_000)
    length = io.BytesIO()
    schemaless_writer(length, parse_schema({"type": "array", "items": "bytes"}), [text])
    with pytest.raises(UndecodableError):
        codec.decode(start + length.getvalue(), Tree)


def test_a_foreign_schema_that_contains_itself_is_not_read() -> None:
    class Foreign(FileRegistry):
        def schema_of(self, schema_id: int) -> dict[str, Any]:
            children = {"type": "array", "items": "Tree"}
            return {"type": "record", "name": "Tree", "fields": [{"name": "children", "type": children}]}

    with pytest.raises(UndecodableError, match="contains itself"):
        Codec(Foreign()).decode(b"\0\0\0\0\x01" + b"\2" * 100_000)


def test_the_cause_is_one_line() -> None:
    codec = codec_for()
    broken = codec.encode(FULL)[:-1]
    with pytest.raises(UndecodableError) as caught:
        codec.decode(broken, Everything)
    assert "\n" not in str(caught.value)


def test_encode_takes_the_id_that_it_is_given() -> None:
    assert schema_id_of(encode(Page(url="u"), 77)) == 77


def test_fields_with_aliases_are_read_by_their_names() -> None:
    model = create_model("Aliased", url=(str, Field(alias="URL")))
    codec = codec_for()
    instance = model.model_validate({"URL": "x"})
    assert codec.decode(codec.encode(instance), model) == instance
    assert avro_schema(model)["fields"][0]["name"] == "url"
