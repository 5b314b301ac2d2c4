"""Values of every supported type: what the record gives back is what was recorded, in every process."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasGenerator,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    SecretBytes,
    SecretStr,
    computed_field,
    field_serializer,
)
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from schemas.content import UnrecordableError
from schemas.typedjson import args_to_json, checked_to_json, from_json, to_json
from streams.engine.jsonable import digest


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    data: bytes = b""
    share: float = 0.0
    count: int = 0
    words: set[str] = set()
    more: Any = None


@dataclass
class Box:
    parts: list[Part] = field(default_factory=list)
    level: Level = Level.LOW


class Pair(NamedTuple):
    left: int
    right: bytes


class Bag(TypedDict):
    parts: dict[str, Part]


class Names(RootModel[list[bytes]]):
    pass


BOUND = 2**200
text = st.text(st.characters(codec="utf-8"), max_size=8)
number = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf])
whole = st.integers(-BOUND, BOUND)
anything = st.recursive(
    st.none() | st.booleans() | whole | number | text | st.binary(max_size=8) | st.just({"$bytes": "x"}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text | st.just("$float"), inner, max_size=3),
    max_leaves=6,
)
part = st.builds(
    Part, data=st.binary(max_size=8), share=number, count=whole, words=st.sets(text, max_size=3), more=anything
)
TYPED: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (bytes, st.binary(max_size=16)),
    (float, number),
    (int, whole),
    (str, text),
    (bool, st.booleans()),
    (bytes | None, st.none() | st.binary(max_size=8)),
    (bytes | int, st.binary(max_size=8) | whole),
    (list[float], st.lists(number, max_size=3)),
    (dict[tuple[int, int], str], st.dictionaries(st.tuples(whole, whole), text, max_size=3)),
    (dict[Level, bytes], st.dictionaries(st.sampled_from(Level), st.binary(max_size=4), max_size=2)),
    (dict[Colour, float], st.dictionaries(st.sampled_from(Colour), number, max_size=2)),
    (dict[int, str], st.dictionaries(whole, text, max_size=3)),
    (dict[bytes, int], st.dictionaries(st.binary(max_size=4), whole, max_size=3)),
    (set[bytes], st.sets(st.binary(max_size=4), max_size=3)),
    (frozenset[str], st.frozensets(text, max_size=3)),
    (tuple[int, ...], st.lists(whole, max_size=3).map(tuple)),
    (deque[bytes], st.lists(st.binary(max_size=4), max_size=3).map(deque)),
    (Part, part),
    (Box, st.builds(Box, parts=st.lists(part, max_size=2), level=st.sampled_from(Level))),
    (Pair, st.builds(Pair, st.integers(-9, 9), st.binary(max_size=4))),
    (Bag, st.fixed_dictionaries({"parts": st.dictionaries(text, part, max_size=2)})),
    (Names, st.builds(Names, st.lists(st.binary(max_size=4), max_size=2))),
    (datetime, st.datetimes().map(lambda moment: moment.replace(fold=0))),
    (date, st.dates()),
    (timedelta, st.timedeltas(timedelta(-9999), timedelta(9999))),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False, places=4)),
    (UUID, st.uuids()),
    (Any, anything),
    (None, anything),
]


def alike(one: Any, other: Any) -> bool:
    """Compare as == does, but NaN with NaN, and what is untyped as JSON's own types."""
    return repr(_listed(one)) == repr(_listed(other))


def _listed(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return type(value), _listed(value.__dict__)
    if isinstance(value, Box):
        return _listed(vars(value))
    if isinstance(value, set | frozenset):
        return sorted(map(_listed, value), key=repr)
    if isinstance(value, list | tuple | deque):
        return [_listed(one) for one in value]
    if isinstance(value, dict):
        return [[_listed(name), _listed(one)] for name, one in value.items()]
    return value


@pytest.mark.parametrize(("kind", "values"), TYPED, ids=lambda one: str(one) if not hasattr(one, "example") else "")
def test_what_is_recorded_reads_back_as_the_same_value(kind: Any, values: st.SearchStrategy[Any]) -> None:
    @settings(max_examples=60, deadline=None)
    @given(values)
    def check(value: Any) -> None:
        data = to_json(value, kind)
        line = orjson.dumps(data)
        assert json.loads(line, parse_constant=_refuse) == data  # every reader of JSON can read it
        live, replayed = from_json(data, kind), from_json(orjson.loads(line), kind)
        assert alike(live, replayed)
        assert alike(live, value)
        assert digest(data) == digest(orjson.loads(line))
        again = from_json(orjson.loads(orjson.dumps(checked_to_json(value, kind or Any))), kind)
        assert alike(again, value)

    check()


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


class float32:  # noqa: N801  stands for numpy's scalar: numpy itself is no dependency
    __module__ = "numpy"
    ndim = 0

    def __init__(self, number: Any) -> None:
        self.number = number

    def item(self) -> Any:
        return self.number


@pytest.mark.parametrize("number", [0.5, 2**40, True, math.inf])
def test_numpy_scalars_are_the_numbers_that_they_hold(number: Any) -> None:
    for kind in (None, Any, type(number)):
        assert from_json(to_json(float32(number), kind), kind) == number
    assert from_json(to_json({"a": [float32(number)]}), None) == {"a": [number]}


def test_text_with_an_unpaired_surrogate_is_the_same_where_no_type_is_declared() -> None:
    assert from_json(to_json(["a\ud83d"]), None) == ["a\ud83d"]
    assert orjson.loads(orjson.dumps(to_json({"\ud83d": 1}))) == {"$map": [[{"$text": "\\ud83d"}, 1]]}


def test_plain_values_have_the_form_that_they_always_had() -> None:
    assert to_json(b"raw", bytes) == "raw"
    assert to_json({1: "a"}, dict[int, str]) == {"1": "a"}
    assert to_json({"counts": {1: 5}}) == {"counts": {"1": 5}}
    assert to_json({1: "a", "1": "b"}) == {"$map": [[1, "a"], ["1", "b"]]}
    assert from_json("raw", bytes) == b"raw"


class Secretive(BaseModel):
    password: SecretStr


class Revealing(BaseModel):
    password: SecretStr

    @field_serializer("password", when_used="json")
    def dump(self, secret: SecretStr) -> str:
        return secret.get_secret_value()


class Hiding(BaseModel):
    shown: int
    hidden: str = Field("default", exclude=True)


@pytest.mark.parametrize(
    "value",
    [
        SecretStr("x"),
        SecretBytes(b"x"),
        Secretive(password=SecretStr("x")),
        [{"a": SecretStr("x")}],
        {1.0: math.nan, 2: SecretStr("x")},
    ],
)
def test_secrets_are_refused_and_not_replaced_by_stars(value: Any) -> None:
    with pytest.raises(UnrecordableError, match="cannot be recorded"):
        to_json(value)
    assert "x" not in str(args_to_json(value))


def test_a_secret_that_its_model_writes_out_is_recorded() -> None:
    assert from_json(to_json(Revealing(password=SecretStr("x"))), Revealing).password.get_secret_value() == "x"


def test_an_excluded_field_is_refused_unless_it_is_its_default() -> None:
    assert from_json(to_json(Hiding(shown=1)), Hiding) == Hiding(shown=1)
    with pytest.raises(UnrecordableError, match=r"Hiding\.hidden is excluded"):
        to_json([Hiding(shown=1, hidden="other")])


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)
    first_name: str


class Outward(BaseModel):
    model_config = ConfigDict(alias_generator=AliasGenerator(serialization_alias=to_camel))
    first_name: str = "nobody"


class Inward(BaseModel):
    first_name: str = Field(validation_alias="firstName")


class Sum(BaseModel):
    model_config = ConfigDict(extra="forbid")
    parts: list[Camel]

    @computed_field
    def total(self) -> int:
        return len(self.parts)


@pytest.mark.parametrize(
    "value",
    [
        Camel(firstName="Ada"),
        Outward(first_name="Ada"),
        Inward(firstName="Ada"),
        Sum(parts=[Camel(firstName="Ada")]),
    ],
)
def test_models_with_aliases_read_what_they_write(value: BaseModel) -> None:
    kind = type(value)
    for by_alias in (True, False, None):
        assert from_json(to_json(value, kind, by_alias=by_alias), kind) == value
    assert from_json(checked_to_json([value], list[kind]), list[kind]) == [value]  # type: ignore[valid-type]


NESTED_SETS = """
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple
from pydantic import BaseModel, RootModel, ConfigDict, Field
from streams import tool
from streams.engine.jsonable import args_to_json, checked_to_json, digest, to_json
from streams.engine.run import arguments_to_json
from streams.model.fence import fenced
words = {"x", "y", "z", "w", "v"}
class Inner(BaseModel):
    model_config = ConfigDict(frozen=True)
    tags: frozenset[str] = Field(frozenset(words), alias="theTags")
class Model(BaseModel):
    words: set[str] = words
    more: list[set[Inner]] = [{Inner(), Inner(theTags=frozenset("abc")), Inner(theTags=frozenset("defg"))}]
class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
class Root(RootModel[dict[str, set[str]]]): pass
class Named(NamedTuple):
    words: frozenset
@dataclass
class Data:
    words: set
class Own(set): pass
@tool
def use(words: set[str], model: Model) -> set[str]: return words
lazy = defaultdict(set); lazy["a"] |= words
values = [Model(), Loose(words=words), Root({"a": words}), Named(frozenset(words)), Data(words), Own(words), lazy,
          [words], {(1, frozenset(words)), (2, frozenset("abc"))}]
for value in values:
    print(digest(args_to_json(value)), digest(args_to_json([value, {"a": value}])), digest(to_json(value)))
    print(fenced(value))
print(digest(checked_to_json(Model(), Model)), digest(checked_to_json({"a": words}, dict[str, set[str]])))
print(digest(arguments_to_json(use, {"words": words, "model": Model()})))
"""


def test_sets_anywhere_give_the_same_digest_in_every_process() -> None:
    seen = {
        subprocess.run(
            [sys.executable, "-c", NESTED_SETS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3", "4")
    }
    assert len(seen) == 1


class Page(BaseModel):
    url: str
    at: datetime
    tags: set[str] = {"a"}
    other: str = Field("o", alias="theOther")


@dataclass
class Small:
    a: int
    b: tuple[int, ...]


VALUES: list[Any] = [
    "x",
    1,
    1.5,
    None,
    True,
    [1, (2, 3)],
    {"b": 1, "a": {"z", "y", "x"}},
    {10, 9, 1},
    {date(2026, 10, 1), date(2026, 2, 1)},
    {(1, "b"), (1, "a")},
    frozenset("streams"),
    {Colour.RED, Colour.BLUE},
    {UUID(int=2), UUID(int=1)},
    Page(url="u", at=datetime(2026, 1, 2)),  # noqa: DTZ001
    [Page(url="u", at=datetime(2026, 1, 2, tzinfo=UTC))],
    Small(1, (2,)),
    b"raw",
    float("nan"),
    [float("inf")],
    Decimal("1.10"),
    timedelta(1),
    {1: "a"},
    {(1, 2): "x"},
    object,
    {"it's", "b"},
]
DIGESTS = """
b9af7fc3c3898757 22a245f52fa18b02 31910d37d88f5021 bdc721e6abfb63b7 73a2abece95e805a f72aa3752bb05d6b
c3caaf006a3c2bf5 5acac5325de89682 92c622edd87337b2 6d3d213d3c97c495 215e2aa6291fb055 b334176adbd2a664
0fea1232af59507d 9ea83b3f588ea5f5 ef087523ffd6a680 60f1d2c8d6ce67a2 bf5a8ef8a03a9b40 bdc721e6abfb63b7
651e0a1bbecc220c 2cb75213b6e9b847 4a262593c4f28c53 72b579178dcf7a6c e9cd6d80287add0b e575a2a1bfee7862
28a6f05c3cb7f6d6
""".split()  # noqa: SIM905  six to a line


def test_digests_of_ordinary_values_are_those_of_earlier_versions() -> None:
    assert [digest("step", args_to_json((value,))) for value in VALUES] == DIGESTS


def test_lists_that_came_from_default_dicts_stay_as_they_are() -> None:
    lazy = defaultdict(list)
    lazy["a"].append(b"\xff")
    assert from_json(to_json(lazy, dict[str, list[bytes]]), dict[str, list[bytes]]) == {"a": [b"\xff"]}
