"""One way from values to JSON and one way back, by their declared types, so that what is read is what was written."""

from __future__ import annotations

import json
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import orjson
from pydantic import (
    BaseModel,
    PydanticSchemaGenerationError,
    PydanticUserError,
    Secret,
    SecretBytes,
    SecretStr,
    TypeAdapter,
)

from schemas import jsonvalue
from schemas.content import BYTES, HARD_KEYS, NUMBERS, RESERVED, SCALARS, TEXT, content

_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_ATOMS: Final = frozenset({bool, type(None)})
_MARK: Final = b'"$'
_ANY: Final[TypeAdapter[Any]] = TypeAdapter(Any)
_TAGGED: Final = NUMBERS | TEXT | RESERVED | SCALARS
_HARD: Final = BYTES | HARD_KEYS
_BY_PYTHON: Final = frozenset({"$bytes", "$map", "$text"})  # tags of values that no JSON text can hand to pydantic


def to_json(value: Any, kind: Any = None, *, by_alias: bool | None = True, declared: bool = False) -> Any:
    """Return value as JSON data, copied, from which `from_json` makes the same value of type `kind` again.

    The plain form is taken where it reads back as the same value, else the tagged one (see `schemas.jsonvalue`).
    Keys of mappings whose type nobody declared become text. With `declared` the value is known to be of type `kind`,
    whose serializers hold. Raises UnrecordableError for what no record can give back (secrets, excluded fields),
    pydantic's error for what has no JSON form.
    """
    if type(value) in _ATOMS and not declared:
        return value
    checker = adapter(kind) if declared else _ANY
    if jsonvalue.is_plain(value):
        return checker.dump_python(value, mode="json", by_alias=by_alias)
    flags = content(value)
    untyped = kind is None or kind is Any
    if flags & _TAGGED or (untyped and flags & _HARD):
        return jsonvalue.tagged(value, flags, by_alias=by_alias, text_keys=untyped)
    if flags & _HARD:
        return _closest(value, kind, flags, by_alias=by_alias, checker=checker)
    return _strict(jsonvalue.plain(value, flags, by_alias=by_alias, kind=checker))


def checked_to_json(value: Any, kind: Any) -> Any:
    """Return value as JSON data after it was validated as `kind`; raises pydantic's ValidationError too."""
    if kind is Any or (isinstance(kind, type) and type(value) is kind):
        return to_json(value, kind)
    return to_json(adapter(kind).validate_python(value), kind, declared=True)


def _closest(value: Any, kind: Any, flags: int, *, by_alias: bool | None, checker: TypeAdapter[Any]) -> Any:
    """Return the plain form if it reads back as the same value, else the tagged one."""
    try:
        data = _strict(jsonvalue.plain(value, flags, by_alias=by_alias, kind=checker))
        if bool(from_json(data, kind) == adapter(kind).validate_python(value)):
            return data
    except (ValueError, TypeError):  # no form, or one that does not fit
        pass
    return jsonvalue.tagged(value, flags, by_alias=by_alias)


def _strict(data: Any) -> Any:
    """Return JSON data that a serializer of the author's own may have filled with what is no JSON, tagged."""
    return data if jsonvalue.is_plain(data) or not content(data) else jsonvalue.tagged(data)


def args_to_json(value: Any, *, by_alias: bool | None = True, names: bool = True, secrets: bool = True) -> Any:
    """Return arguments as JSON data, equal in every process, for digests and for people.

    What has no JSON form is named by its type, or without `names` pydantic's error. Secrets are masked, or without
    `secrets` an UnrecordableError.
    """
    if type(value) in _PLAIN:
        return value
    fallback = _type_name if names else None
    try:
        data = _ANY.dump_python(value, mode="json", by_alias=by_alias, fallback=fallback)
    except UnicodeDecodeError:  # bytes that are no text
        data = jsonvalue.tagged(value, by_alias=by_alias, fallback=fallback)
    return data if jsonvalue.is_plain(value) else jsonvalue.ordered(value, data, secrets=secrets)


def unreadable(kind: Any) -> str | None:
    """Return why no record can be read as a type, else None; a class that names one defined later is not judged yet."""
    try:
        adapter(kind)
    except PydanticSchemaGenerationError:
        return f"{kind!r} is no type that a record can be read as: use a pydantic model, a dataclass or plain types"
    except PydanticUserError as error:
        if error.code in ("class-not-fully-defined", "undefined-annotation"):
            return None
        return f"{kind!r} is no type that a record can be read as: {str(error).splitlines()[0]}"
    except NameError:
        return None
    return None


def unrecordable(kind: Any) -> str | None:
    """Return why no value of a type can be recorded, as far as the type shows it, else None."""
    try:
        return _unrecordable(kind)
    except TypeError:  # a type that cannot be hashed
        return None


@lru_cache(maxsize=4096)
def _unrecordable(kind: Any, seen: frozenset[Any] = frozenset()) -> str | None:
    if isinstance(kind, type) and issubclass(kind, SecretStr | SecretBytes | Secret):
        return f"a {kind.__name__} cannot be recorded: read the secret where it is used, or pass its name"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return None if kind in seen else _unrecordable_fields(kind, seen | {kind})
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType, Literal):  # another member may be what there is
        return None
    reasons = (_unrecordable(one, seen) for one in arguments[: 1 if origin is Annotated else None])
    return next((reason for reason in reasons if reason is not None), None)


def _unrecordable_fields(kind: type[BaseModel], seen: frozenset[Any]) -> str | None:
    decorators = kind.__pydantic_decorators__
    if decorators.model_serializers:
        return None
    written = {name for one in decorators.field_serializers.values() for name in one.info.fields}
    for name, field in kind.model_fields.items():
        if not field.is_required() or name in written or "*" in written:
            continue
        if field.exclude:
            return f"{kind.__name__}.{name} cannot be recorded: it has no default and exclude=True"
        reason = _unrecordable(field.annotation, seen)  # type: ignore[arg-type]
        if reason is not None:
            return f"{kind.__name__}.{name}: {reason}"
    return None


@lru_cache(maxsize=4096)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def adapter(kind: Any) -> TypeAdapter[Any]:
    """Return the cached validator of a type."""
    try:
        return _adapter(kind)
    except TypeError:  # a type that cannot be hashed, such as Annotated with a list
        return TypeAdapter(kind)


def from_json(value: Any, kind: Any) -> Any:
    """Return JSON data as an instance of kind (None or Any: a fresh copy of the data).

    Fields are found by their aliases and by their names: records of earlier versions and of tools have names.
    Raises pydantic's ValidationError for data that do not fit.
    """
    untyped = kind is None or kind is Any
    if untyped and type(value) in _PLAIN:
        return value
    text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    tags = jsonvalue.tags_in(value) if _MARK in text else frozenset[str]()
    if not tags:
        return orjson.loads(text) if untyped else adapter(kind).validate_json(text, by_alias=True, by_name=True)
    native = jsonvalue.untagged(value)
    if untyped:
        return native
    if tags & _BY_PYTHON:
        return adapter(kind).validate_python(native, by_alias=True, by_name=True)
    return adapter(kind).validate_json(json.dumps(native), by_alias=True, by_name=True)


def _type_name(value: Any) -> str:
    return f"<{type(value).__module__}.{type(value).__qualname__}>"
