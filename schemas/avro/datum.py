"""Converters between a model's values and what the Avro library writes and reads, built once for each class.

A converter is None where the value goes through as it is, which is what makes flat records cheap.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, TypeAlias

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from schemas.avro.jsontext import dumps, dumps_value, loads, value_of
from schemas.avro.naming import record_name
from schemas.avro.shape import Shape, shape_of_field
from schemas.errors import SchemaError

Converter: TypeAlias = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _in_utc(value: datetime) -> datetime:
    """Read a naive time as UTC; the Avro library would take it as local time of the machine."""
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _value(member: Any) -> Any:
    return getattr(member, "value", member)


_WRITERS: dict[str, Converter] = {
    "text": str,
    "enum": _value,
    "enum_long": _value,
    "datetime": _in_utc,
    "json": dumps,
}


@cache
def datum_of(model: type[BaseModel]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the function that turns an instance's fields, by name, into the mapping that Avro writes."""
    converters = [
        (name, converter)
        for name, field in model.model_fields.items()
        if (converter := _writer(shape_of_field(field))) is not None
    ]
    return _in_copy(converters) if converters else _same


def _writer(shape: Shape) -> Converter | None:
    if shape.model is not None:
        return _nested(shape.model)
    if shape.item is None:
        if shape.annotation is not None:
            return lambda value: dumps_value(value, shape.annotation)
        return _WRITERS.get(shape.kind)
    item = _writer(shape.item)
    if shape.kind == "optional":
        return _optional_writer(shape.item, item)
    if shape.kind == "array":
        return list if item is None else lambda values: [item(value) for value in values]
    return None if item is None else lambda values: {key: item(value) for key, value in values.items()}


def _nested(model: type[BaseModel]) -> Converter:
    convert = datum_of(model)
    return lambda value: convert(value.__dict__)


def _optional_writer(shape: Shape, item: Converter | None) -> Converter | None:
    """Name the branch of compound values, since the library would find it by validating them."""
    branch = record_name(shape.model) if shape.model is not None else shape.kind
    if branch in ("array", "map") or shape.model is not None:
        inner = item or _same
        return lambda value: None if value is None else (branch, inner(value))
    return None if item is None else lambda value: None if value is None else item(value)


def _same(value: Any) -> Any:
    return value


@cache
def fields_of(model: type[BaseModel]) -> Converter | None:
    """Return the converter from a record's fields, by name, to what the model's validator takes, or None.

    On the log fields have their names; validators look for aliases. What travels as JSON text has its tags replaced.
    """
    converters: list[tuple[str, str, Converter]] = []
    for name, field in model.model_fields.items():
        key, inner = _key_of(name, field), _taker(shape_of_field(field))
        if key != name or inner is not None:
            converters.append((name, key, inner or _same))
    if not converters:
        return None

    def convert(values: dict[str, Any]) -> dict[str, Any]:
        made = dict(values)
        for name, _, _ in converters:
            made.pop(name, None)
        for name, key, converter in converters:
            if name in values:
                made[key] = converter(values[name])
        return made

    return convert


def _key_of(name: str, field: FieldInfo) -> str:
    """Return under which key a validator finds a field first; one that has only a path is found by its name."""
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else (alias,)
    return next((choice for choice in choices if isinstance(choice, str)), name)


def _taker(shape: Shape) -> Converter | None:
    if shape.model is not None:
        return fields_of(shape.model)
    if shape.item is None:
        return value_of if shape.annotation is not None else None
    item = _taker(shape.item)
    if item is None:
        return None
    if shape.kind == "optional":
        return lambda value: None if value is None else item(value)
    if shape.kind == "array":
        return lambda values: [item(value) for value in values]
    return lambda values: {key: item(value) for key, value in values.items()}


_SETTLED: dict[str, Converter] = {
    "bytes": lambda value: value.encode("latin-1") if isinstance(value, str) else value,
    "timestamp-micros": lambda value: _EPOCH + timedelta(microseconds=value) if isinstance(value, int) else value,
    "date": lambda value: date.fromordinal(_EPOCH.toordinal() + value) if isinstance(value, int) else value,
}


def reader_of(schema: Any, *, resolved: bool = False) -> Converter | None:
    """Return the converter from what the Avro library read by ``schema`` to plain Python values.

    JSON text becomes its value. With ``resolved``, also defaults that the library filled in become values: it hands
    them over as they stand in the schema. Raises SchemaError for a schema that contains itself.
    """
    return _Readers(resolved=resolved).converter(schema)


class _Readers:
    """Builds read converters for one schema, remembering its named records, which it may mention again."""

    def __init__(self, *, resolved: bool) -> None:
        self._resolved = resolved
        self._named: dict[str, Converter | None] = {}
        self._under_way: set[str] = set()

    def converter(self, schema: Any) -> Converter | None:
        if isinstance(schema, str):
            return self._by_name(schema)
        if isinstance(schema, list):
            return self._union(schema)
        kind = schema["type"]
        if kind == "record":
            return self._record(schema)
        if kind == "array":
            return _each(self.converter(schema["items"]))
        if kind == "map":
            return _each_value(self.converter(schema["values"]))
        if schema.get("logicalType") == "json":
            return loads
        return _SETTLED.get(schema.get("logicalType", kind)) if self._resolved else None

    def _by_name(self, name: str) -> Converter | None:
        if name in self._under_way:
            message = (
                f"the schema of {name} contains itself, which is not read: its records could be nested without limit"
            )
            raise SchemaError(message)
        return self._named.get(name, _SETTLED.get(name) if self._resolved else None)

    def _union(self, branches: list[Any]) -> Converter | None:
        others = [branch for branch in branches if branch != "null"]
        inner = self.converter(others[0]) if len(others) == 1 else None
        return None if inner is None else lambda value: None if value is None else inner(value)

    def _record(self, schema: dict[str, Any]) -> Converter | None:
        name = schema["name"]
        self._under_way.add(name)
        converters = [
            (field["name"], converter)
            for field in schema["fields"]
            if (converter := self.converter(field["type"])) is not None
        ]
        self._under_way.discard(name)
        made = _in_copy(converters) if self._resolved else _in_place(converters)
        self._named[name] = made if converters else None
        return self._named[name]


def _in_place(converters: list[tuple[str, Converter]]) -> Converter:
    def convert(values: dict[str, Any]) -> dict[str, Any]:
        for name, converter in converters:
            values[name] = converter(values[name])
        return values

    return convert


def _in_copy(converters: list[tuple[str, Converter]]) -> Converter:
    """Convert a copy: a record's fields and a schema's defaults must not change."""

    def convert(values: dict[str, Any]) -> dict[str, Any]:
        values = values.copy()
        for name, converter in converters:
            values[name] = converter(values[name])
        return values

    return convert


def _each(item: Converter | None) -> Converter | None:
    return None if item is None else lambda values: [item(value) for value in values]


def _each_value(item: Converter | None) -> Converter | None:
    return None if item is None else lambda values: {key: item(value) for key, value in values.items()}
