"""JSON for values that JSON cannot carry: bytes, non-finite floats, integers over 64 bits, mappings with other keys.

Most values have a plain JSON form, and that is what is written. Others are written as an object with one reserved
member, so that every reader of JSON can still read the record: `{"$bytes": "<base64>"}`, `{"$float": "NaN"}` (or
`Infinity`, `-Infinity`), `{"$int": "<digits>"}`, `{"$map": [[key, value], …]}`, `{"$text": "<JSON escapes>"}` for text
with unpaired surrogates. An object that only looks like one of them is written as `{"$object": {…}}`.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

import orjson
from pydantic import BaseModel, RootModel, TypeAdapter
from pydantic_core import to_jsonable_python

from schemas.content import (
    HARD_KEYS,
    INTEGERS,
    NAMES,
    NESTED,
    SECRET_TYPES,
    SECRETS,
    SETS,
    TAGS,
    TEXT,
    UnrecordableError,
    content,
    is_scalar,
    is_sound,
)

_MARK: Final = b'"$'
_FLOATS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_ANY: Final[TypeAdapter[Any]] = TypeAdapter(Any)
_STARS: Final = "**********"  # what pydantic writes for a secret
_PLAIN_ONLY: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def is_plain(value: Any) -> bool:
    """Return whether value consists of JSON's own types alone; cheap, and false for some that do."""
    try:
        text = orjson.dumps(value, option=_PLAIN_ONLY)
    except TypeError:
        return False
    return _MARK not in text and b"null" not in text  # orjson writes NaN as null


# The two forms


def plain(value: Any, flags: int, *, by_alias: bool | None = True, kind: TypeAdapter[Any] = _ANY) -> Any:
    """Return pydantic's JSON form of value, its sets in an order that is the same in every process.

    Raises UnrecordableError for secrets.
    """
    own = bool(flags & NAMES)  # field names, and no computed fields: what such a model can read again
    data = kind.dump_python(value, mode="json", by_alias=False if own else by_alias, round_trip=own)
    return _ordered(value, data, secrets=False) if flags & (SETS | SECRETS) else data


def tagged(
    value: Any,
    flags: int = 0,
    *,
    by_alias: bool | None = True,
    text_keys: bool = False,
    fallback: Callable[[Any], Any] | None = None,
) -> Any:
    """Return the form of value in which what JSON cannot carry is tagged.

    With `text_keys` keys that have a text form of their own become text, as in the plain form. `fallback` gives a form
    to what has none. Raises UnrecordableError for secrets, and pydantic's error for what has no form at all.
    """
    own = bool(flags & NAMES)
    tree = _ANY.dump_python(value, mode="python", by_alias=False if own else by_alias, round_trip=own)
    return _tagged(tree, _Form(text_keys, fallback))


@dataclasses.dataclass(frozen=True, slots=True)
class _Form:
    """How values are tagged."""

    text_keys: bool
    fallback: Callable[[Any], Any] | None


def _tagged(value: Any, form: _Form) -> Any:  # noqa: PLR0911, PLR0912, C901  one return for each kind of value
    if value is None or value is True or value is False:
        return value
    if isinstance(value, Enum):
        return _tagged(value.value, form)
    if isinstance(value, str):
        if value.isascii() or is_sound(value):
            return str(value)
        return {"$text": json.dumps(value)[1:-1]}
    if isinstance(value, int):
        return int(value) if INTEGERS[0] <= value <= INTEGERS[1] else {"$int": str(int(value))}
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return {"$float": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return _tagged_mapping(value, form)
    if isinstance(value, set | frozenset):
        return sorted((_tagged(one, form) for one in value), key=_text)
    if isinstance(value, NESTED):
        return [_tagged(one, form) for one in value]
    if isinstance(value, SECRET_TYPES):
        if form.fallback is not None:
            return str(value)
        raise UnrecordableError(_secret(value))
    if is_scalar(value):
        return _tagged(value.item(), form)
    return to_jsonable_python(value, fallback=form.fallback)


def _tagged_mapping(value: Mapping[Any, Any], form: _Form) -> Any:
    if all(isinstance(key, str) and not isinstance(key, Enum) and is_sound(key) for key in value):
        made = {str(key): _tagged(one, form) for key, one in value.items()}
        return {"$object": made} if len(made) == 1 and next(iter(made)) in TAGS else made
    if form.text_keys and not content(dict.fromkeys(value, 0)) & (HARD_KEYS | TEXT):
        names = to_jsonable_python(dict.fromkeys(value, 0))
        return {name: _tagged(one, form) for name, one in zip(names, value.values(), strict=True)}
    return {"$map": [[_tagged(key, form), _tagged(one, form)] for key, one in value.items()]}


def _secret(value: Any) -> str:
    return (
        f"a {type(value).__name__} cannot be recorded: its text would be lost, and the log is no place for secrets; "
        "read it where it is used, or pass its name"
    )


# Sets


def ordered(value: Any, data: Any, *, secrets: bool = True) -> Any:
    """Return data, the JSON form of value, with the lists that were sets in an order that every process has.

    Without `secrets`, raises UnrecordableError for a secret whose text the form does not have.
    """
    return _ordered(value, data, secrets=secrets)


def _ordered(value: Any, data: Any, *, secrets: bool) -> Any:  # noqa: C901, PLR0911  one return for each kind of value
    if isinstance(value, SECRET_TYPES):
        if not secrets and value and data in (_STARS, str(value)):
            raise UnrecordableError(_secret(value))
        return data
    if isinstance(data, list):
        if isinstance(value, set | frozenset) and len(value) == len(data):
            pairs = [(one, _ordered(one, form, secrets=secrets)) for one, form in zip(value, data, strict=True)]
            key = _text_of_pair if any(_is_unsteady(one) for one in value) else _repr_of_pair
            return [form for _, form in sorted(pairs, key=key)]
        if isinstance(value, NESTED) and len(value) == len(data):
            return [_ordered(one, form, secrets=secrets) for one, form in zip(value, data, strict=True)]
        return _ordered(value.root, data, secrets=secrets) if isinstance(value, RootModel) else data
    if not isinstance(data, dict):
        return data
    if isinstance(value, RootModel):
        return _ordered(value.root, data, secrets=secrets)
    if isinstance(value, BaseModel):
        return _ordered_fields(value, data, secrets=secrets)
    if isinstance(value, Mapping):
        if len(value) != len(data):
            return data
        members = zip(value.values(), data.items(), strict=True)
        return {name: _ordered(one, form, secrets=secrets) for one, (name, form) in members}
    if dataclasses.is_dataclass(value):
        names = {field.name for field in dataclasses.fields(value)}
        return {
            name: _ordered(getattr(value, name), form, secrets=secrets) if name in names else form
            for name, form in data.items()
        }
    return data


def _ordered_fields(value: BaseModel, data: dict[str, Any], *, secrets: bool) -> dict[str, Any]:
    kind = type(value)
    made = dict(data)
    members: list[tuple[str, str | None, Any]] = [
        (name, field.serialization_alias, value.__dict__.get(name)) for name, field in kind.model_fields.items()
    ]
    members += [(name, None, one) for name, one in (value.__pydantic_extra__ or {}).items()]
    members += [
        (name, computed.alias, getattr(value, name, None))
        for name, computed in kind.model_computed_fields.items()
        if name in made or computed.alias in made
    ]
    for name, alias, one in members:
        place = alias if alias is not None and alias in made else name
        if place in made:
            made[place] = _ordered(one, made[place], secrets=secrets)
    return made


def _is_unsteady(value: Any) -> bool:
    """Return whether the repr of a set's item may differ between processes."""
    if isinstance(value, str | int | float | bool | bytes | None):
        return False
    if isinstance(value, tuple | frozenset):
        return any(_is_unsteady(one) for one in value)
    return bool(content(value) & SETS) or " at 0x" in repr(value)


def _repr_of_pair(pair: tuple[Any, Any]) -> str:
    return repr(_listed(pair[0]))


def _text_of_pair(pair: tuple[Any, Any]) -> str:
    return _text(pair[1])


def _listed(value: Any) -> Any:
    """Return an item of a set as it is compared: tuples and sets as lists."""
    if type(value) is tuple:
        return [_listed(one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted((_listed(one) for one in value), key=repr)
    return value


def _text(data: Any) -> str:
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()


# The way back


def tags_in(data: Any) -> frozenset[str]:
    """Return the tags in JSON data."""
    if isinstance(data, dict):
        found = frozenset[str]().union(*map(tags_in, data.values())) if data else frozenset[str]()
        return found | {tag} if (tag := _tag_of(data)) is not None else found
    if isinstance(data, list):
        return frozenset[str]().union(*map(tags_in, data))
    return frozenset()


def _tag_of(data: dict[str, Any]) -> str | None:
    """Return the tag of an object that is a well-formed tagged value."""
    if len(data) != 1:
        return None
    ((tag, inner),) = data.items()
    if tag not in TAGS:
        return None
    try:
        _UNTAGGED[tag](inner)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return tag


def untagged(data: Any) -> Any:
    """Return a copy of JSON data with the values that its tags stand for."""
    if isinstance(data, dict):
        tag = _tag_of(data)
        if tag is not None:
            return _UNTAGGED[tag](data[tag])
        return {name: untagged(one) for name, one in data.items()}
    if isinstance(data, list):
        return [untagged(one) for one in data]
    return data


def _bytes_of(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _text_of(text: str) -> str:
    found = json.loads(f'"{text}"')
    return str(found)


def _mapping_of(pairs: list[list[Any]]) -> dict[Any, Any]:
    return {_hashable(untagged(key)): untagged(one) for key, one in pairs}


def _hashable(key: Any) -> Any:
    return tuple(_hashable(one) for one in key) if isinstance(key, list) else key


def _object_of(inner: dict[str, Any]) -> dict[str, Any]:
    return {name: untagged(one) for name, one in inner.items()}


_UNTAGGED: Final[dict[str, Callable[[Any], Any]]] = {
    "$bytes": _bytes_of,
    "$float": _FLOATS.__getitem__,
    "$int": int,
    "$map": _mapping_of,
    "$text": _text_of,
    "$object": _object_of,
}


def hash_form(data: Any) -> Any:
    """Return JSON data as it was hashed before there were tags, where it could be: null for NaN, text for bytes."""
    if isinstance(data, dict):
        tag = _tag_of(data)
        if tag == "$float":
            return None
        if tag == "$bytes":
            try:
                return _bytes_of(data[tag]).decode()
            except UnicodeDecodeError:
                return data
        return {name: hash_form(one) for name, one in data.items()}
    if isinstance(data, list):
        return [hash_form(one) for one in data]
    return data
