"""Derives the Avro schema of a pydantic model, the same in every process."""

import hashlib
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from schemas.avro.jsontext import dumps
from schemas.avro.naming import record_name
from schemas.avro.shape import Shape, shape_of_field
from schemas.errors import SchemaError

_SIMPLE: dict[str, Any] = {
    "string": "string",
    "text": "string",
    "enum": "string",
    "long": "long",
    "enum_long": "long",
    "double": "double",
    "boolean": "boolean",
    "bytes": "bytes",
    "datetime": {"type": "long", "logicalType": "timestamp-micros"},
    "date": {"type": "int", "logicalType": "date"},
    "json": {"type": "string", "logicalType": "json"},
}
_NO_DEFAULT = object()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def avro_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the model's Avro schema as JSON data, which the caller must not change.

    JSON text is marked with the logical type ``json``, which other Avro readers ignore. Fields have the model's
    defaults, optional ones at least null, so that schemas can grow. Raises SchemaError for two nested classes that
    share a name, and for a model whose annotations cannot be resolved.
    """
    schema: dict[str, Any] = _Derivation().record(model)
    return schema


def canonical(schema: Any) -> bytes:
    """Return the schema's JSON with sorted keys, equal for equal schemas."""
    return orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)


def digest(schema: Any) -> str:
    """Return the SHA-256 of the canonical schema, in hexadecimal digits."""
    return hashlib.sha256(canonical(schema)).hexdigest()


class _Derivation:
    """One schema in the making; remembers the records it has named, which Avro defines once and then refers to."""

    def __init__(self) -> None:
        self._named: dict[str, type[BaseModel]] = {}

    def record(self, model: type[BaseModel]) -> Any:
        name = record_name(model)
        known = self._named.setdefault(name, model)
        if known is not model:
            message = f"{known.__module__} and {model.__module__} both define {model.__name__}; rename one"
            raise SchemaError(message)
        fields = [self._field(name, field) for name, field in _fields(model).items()]
        return {"type": "record", "name": name, "fields": fields}

    def _field(self, name: str, field: FieldInfo) -> dict[str, Any]:
        shape = shape_of_field(field)
        default = _default_of(shape, field)
        derived = {"name": name, "type": self._type(shape, nullable_first=default in (None, _NO_DEFAULT))}
        if default is not _NO_DEFAULT:
            derived["default"] = default
        return derived

    def _type(self, shape: Shape, *, nullable_first: bool = True) -> Any:
        if shape.model is not None:
            name = record_name(shape.model)
            return name if self._named.get(name) is shape.model else self.record(shape.model)
        if shape.item is None:
            return _SIMPLE[shape.kind]
        item = self._type(shape.item)
        if shape.kind == "optional":  # Avro wants the branch of the default first
            return ["null", item] if nullable_first else [item, "null"]
        return {"type": "array", "items": item} if shape.kind == "array" else {"type": "map", "values": item}


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    if not model.__pydantic_complete__ and model.model_rebuild(raise_errors=False) is False:
        message = f"{model.__module__}.{model.__name__} has annotations that cannot be resolved; define them first"
        raise SchemaError(message)
    return model.model_fields


def _default_of(shape: Shape, field: FieldInfo) -> Any:
    """Return a field's default as JSON data, or the mark for none.

    A factory counts if two of its values are equal: a random id or the time is no default of a schema.
    """
    if field.is_required():
        return None if shape.kind == "optional" else _NO_DEFAULT
    factory = field.default_factory
    if factory is None:
        return _json_of(shape, field.default)
    if field.default_factory_takes_validated_data:
        return None if shape.kind == "optional" else _NO_DEFAULT
    first, second = (_json_of(shape, field.get_default(call_default_factory=True)) for _ in range(2))
    if first == second:
        return first
    return None if shape.kind == "optional" else _NO_DEFAULT


_DEFAULTS: dict[str, Callable[[Any], Any]] = {
    "text": str,
    "enum": lambda value: getattr(value, "value", value),
    "enum_long": lambda value: getattr(value, "value", value),
    "bytes": lambda value: value.decode("latin-1"),
    "json": dumps,
    "datetime": lambda value: (
        ((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)
    ),
    "date": lambda value: (value - date(1970, 1, 1)).days,
}


def _json_of(shape: Shape, value: Any) -> Any:
    """Return a value in the form that Avro gives to defaults."""
    if shape.model is not None:
        instance = shape.model.model_validate(value)
        return {
            name: _json_of(shape_of_field(field), getattr(instance, name))
            for name, field in shape.model.model_fields.items()
        }
    if shape.item is None:
        return _DEFAULTS.get(shape.kind, _same)(value)
    if shape.kind == "optional":
        return None if value is None else _json_of(shape.item, value)
    if shape.kind == "array":
        return [_json_of(shape.item, item) for item in value]
    return {key: _json_of(shape.item, item) for key, item in value.items()}


def _same(value: Any) -> Any:
    return value
