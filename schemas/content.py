"""What is in a value that JSON cannot carry, or that its own serializer does not give back."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, Final

from pydantic import AliasChoices, BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import PydanticUndefined, to_jsonable_python

BYTES: Final = 1  # flags of what a value contains
NUMBERS: Final = 2  # non-finite floats, integers over 64 bits
TEXT: Final = 4  # unpaired surrogates
RESERVED: Final = 8  # a mapping that looks like a tagged value
SCALARS: Final = 16  # numpy scalars
HARD_KEYS: Final = 32  # keys without a text form of their own, or two keys with the same text
SETS: Final = 64  # their order differs from process to process
NAMES: Final = 128  # models that do not read the names that they write
SECRETS: Final = 256

TAGS: Final = frozenset({"$bytes", "$float", "$int", "$map", "$text", "$object"})
INTEGERS: Final = (-(2**63), 2**64 - 1)  # what orjson writes and reads as an integer
SECRET_TYPES: Final = (SecretStr, SecretBytes, Secret)
NESTED: Final = (list, tuple, deque)


class UnrecordableError(TypeError):
    """Raised for a value that no record can give back as it was; the message says which and what to do."""


def content(value: Any) -> int:
    """Return the flags of all that is in value.

    Raises UnrecordableError for a field that is excluded from serialization and is not its default, and ValueError for
    a value that contains itself.
    """
    try:
        return _content(value)
    except RecursionError:
        raise ValueError("the value contains itself, or is nested too deeply") from None


def _content(value: Any) -> int:  # noqa: C901, PLR0911  one return for each kind of value
    if value is None or value is True or value is False:
        return 0
    if isinstance(value, Enum):
        return _content(value.value)
    if isinstance(value, str):
        return 0 if value.isascii() or is_sound(value) else TEXT
    if isinstance(value, int):
        return 0 if INTEGERS[0] <= value <= INTEGERS[1] else NUMBERS
    if isinstance(value, float):
        return 0 if math.isfinite(value) else NUMBERS
    if isinstance(value, bytes | bytearray | memoryview):
        return BYTES
    if isinstance(value, BaseModel):
        return _content_of_model(value)
    if isinstance(value, Mapping):
        return _content_of_mapping(value)
    if isinstance(value, set | frozenset):
        return _content_of_items(value) | (SETS if len(value) > 1 else 0)
    if isinstance(value, NESTED):
        return _content_of_items(value)
    if isinstance(value, SECRET_TYPES):
        return SECRETS
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _content_of_items(getattr(value, field.name, None) for field in dataclasses.fields(value))
    return SCALARS if is_scalar(value) else 0


def _content_of_items(values: Iterable[Any]) -> int:
    found = 0
    for one in values:
        found |= _content(one)
    return found


def _content_of_mapping(value: Mapping[Any, Any]) -> int:
    found = _content_of_items(value.values())
    if all(type(key) is str for key in value):
        if len(value) == 1 and next(iter(value)) in TAGS:
            found |= RESERVED
        return found | _content_of_items(value)
    hard = any(isinstance(key, tuple | bytes | frozenset | BaseModel) or is_scalar(key) for key in value)
    if hard or (len(value) > 1 and len(to_jsonable_python(dict.fromkeys(value, 0))) < len(value)):
        found |= HARD_KEYS
    return found | (_content_of_items(key for key in value if isinstance(key, str)) & TEXT)


def _content_of_model(value: BaseModel) -> int:
    kind = type(value)
    differs, excluded = _names_of(kind)
    for name, default in excluded:
        if name in value.__dict__ and not _same(value.__dict__[name], default()):
            raise UnrecordableError(
                f"{kind.__name__}.{name} is excluded from serialization and is not its default: "
                "a record cannot give it back; remove exclude=True, or reset it"
            )
    found = NAMES if differs else 0
    hidden = {name for name, _ in excluded}
    for name, one in value.__dict__.items():
        if name not in hidden:
            found |= _content(one)
    return found | _content_of_items((value.__pydantic_extra__ or {}).values())


@lru_cache(maxsize=4096)
def _names_of(kind: type[BaseModel]) -> tuple[bool, tuple[tuple[str, Callable[[], Any]], ...]]:
    """Return whether a model writes names that it does not read; return its excluded fields with their defaults."""
    differs = bool(kind.model_computed_fields) and kind.model_config.get("extra") in ("forbid", "allow")
    for name, field in kind.model_fields.items():
        reads = field.validation_alias
        known = {name, reads, *(reads.choices if isinstance(reads, AliasChoices) else ())}
        differs |= (field.serialization_alias or name) not in known
    if kind.__pydantic_decorators__.model_serializers:
        return differs, ()
    excluded = tuple((name, _default_of(field)) for name, field in kind.model_fields.items() if field.exclude)
    return differs, excluded


def _default_of(field: Any) -> Callable[[], Any]:
    def default() -> Any:
        if field.default_factory is not None and field.default_factory_takes_validated_data:
            return PydanticUndefined
        return field.get_default(call_default_factory=True)

    return default


def _same(one: Any, other: Any) -> bool:
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # noqa: BLE001  a comparison of the author's own that raises shows no equality
        return False


def is_sound(text: str) -> bool:
    """Return whether text has a UTF-8 form: no unpaired surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_scalar(value: Any) -> bool:
    """Return whether value is a numpy scalar; numpy itself is not needed for that."""
    return type(value).__module__.partition(".")[0] == "numpy" and getattr(value, "ndim", None) == 0
