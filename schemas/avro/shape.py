"""Decides once how a Python annotation travels as Avro, so that the schema and the converters cannot disagree."""

import collections.abc
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import PurePath
from typing import Any, Literal
from uuid import UUID

from pydantic import AnyUrl, BaseModel, RootModel
from pydantic.fields import FieldInfo

from schemas.values import JsonText

Kind = Literal[
    "string",
    "text",  # a class whose str() is its form, such as UUID or a URL
    "enum",  # of strings
    "long",
    "enum_long",
    "double",
    "boolean",
    "bytes",
    "datetime",
    "date",
    "json",  # whatever else: JSON text
    "record",
    "optional",
    "array",
    "map",
]


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind with what it is made of: the item of an optional, array or map, or the model of a record.

    `annotation` is that of a value that travels as JSON text without being declared as JSON.
    """

    kind: Kind
    item: "Shape | None" = None
    model: type[BaseModel] | None = None
    annotation: Any = None


_JSON = Shape("json")  # declared as JSON
_VALUE = Shape("json", annotation=Any)  # whatever else
_PLAIN: dict[object, Shape] = {
    str: Shape("string"),
    int: Shape("long"),
    float: Shape("double"),
    bool: Shape("boolean"),
    bytes: Shape("bytes"),
    datetime: Shape("datetime"),
    date: Shape("date"),
}
_TEXTUAL = (UUID, AnyUrl, PurePath, IPv4Address, IPv6Address)
_SEQUENCES = frozenset({list, tuple, collections.abc.Sequence, collections.abc.MutableSequence})
_MAPPINGS = frozenset({dict, collections.abc.Mapping, collections.abc.MutableMapping})


def shape_of_field(field: FieldInfo) -> Shape:
    """Return the shape of a model's field."""
    if _is_json(field.metadata):
        return _JSON
    return shape_of(field.annotation)


def shape_of(annotation: Any) -> Shape:
    """Return the shape of an annotation; what has no Avro form of its own is JSON text."""
    shape = _shape_of(annotation)
    return Shape("json", annotation=annotation) if shape is _VALUE else shape


def _shape_of(annotation: Any) -> Shape:
    annotation = _unwrapped(annotation)
    plain = _PLAIN.get(annotation)
    if plain is not None:
        return plain
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return _of_class(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _JSON if _is_json(arguments[1:]) else shape_of(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _of_union(arguments)
    if origin is Literal:
        return _of_values(arguments, "string", "long")
    return _of_container(origin, arguments)


def _unwrapped(annotation: Any) -> Any:
    """Follow NewType and named type aliases to what they stand for."""
    while (inner := getattr(annotation, "__supertype__", getattr(annotation, "__value__", None))) is not None:
        annotation = inner
    return annotation


def _is_json(metadata: typing.Iterable[object]) -> bool:
    return any(isinstance(item, JsonText) for item in metadata)


def _of_class(annotation: type) -> Shape:
    if issubclass(annotation, Enum):
        return _of_values([member.value for member in annotation], "enum", "enum_long")
    if issubclass(annotation, BaseModel):
        open_ended = issubclass(annotation, RootModel) or annotation.model_config.get("extra") == "allow"
        return _VALUE if open_ended or _contains_itself(annotation) else Shape("record", model=annotation)
    if issubclass(annotation, _TEXTUAL):
        return Shape("text")
    return _VALUE


@cache
def _contains_itself(model: type[BaseModel]) -> bool:
    """Return whether a model is nested in itself, at any depth.

    Such models travel as JSON text: the compiled Avro reader follows nesting without a limit, and a crafted record
    of some kilobytes would end the process.
    """
    seen: set[type[BaseModel]] = set()
    waiting = [model]
    while waiting:
        for field in waiting.pop().model_fields.values():
            nested = set(_models_in(field.annotation))
            if model in nested:
                return True
            waiting += nested - seen
            seen |= nested
    return False


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    annotation = _unwrapped(annotation)
    if isinstance(annotation, type) and typing.get_origin(annotation) is None and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)


def _of_union(arguments: tuple[Any, ...]) -> Shape:
    others = [argument for argument in arguments if argument is not type(None)]
    if len(others) != 1 or len(others) == len(arguments):
        return _VALUE
    item = shape_of(others[0])
    if item.kind == "json":
        return _JSON if item.annotation is None else _VALUE
    return Shape("optional", item)


def _of_values(values: typing.Iterable[object], text: Kind, number: Kind) -> Shape:
    kinds = {type(value) for value in values}
    if all(issubclass(kind, str) for kind in kinds):
        return Shape(text)
    return Shape(number) if kinds == {int} else _VALUE


def _of_container(origin: Any, arguments: tuple[Any, ...]) -> Shape:
    if origin is tuple and arguments[1:] != (Ellipsis,):
        return _VALUE
    if origin in _SEQUENCES:
        return Shape("array", shape_of(arguments[0]))
    if origin in _MAPPINGS and shape_of(arguments[0]).kind == "string":
        return Shape("map", shape_of(arguments[1]))
    return _VALUE
