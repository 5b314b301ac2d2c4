"""What the gateway knows of a user's code, as one text: while an edit leaves it as it was, the gateway stays up."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, PydanticUserError, TypeAdapter

from streams.app import is_ours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.app import Catalog


def fingerprint(catalog: Catalog) -> str:
    """Return a digest of names, options and schemas, and of the user's code that the gateway itself runs.

    That code is sources, and models with validators: they change with any edit of a module that might be part of them.
    """
    digest = hashlib.sha256()
    for part in fields(catalog):
        for name, value in sorted(getattr(catalog, part.name).items()):
            for text in (part.name, name, *_described(value)):
                digest.update(f"{text}\n".encode())
    if any(not is_ours(source.fn.__module__) for source in catalog.sources.values()):
        for name in sorted(sys.modules):
            digest.update(_text_of(name))
    return digest.hexdigest()


def _described(value: Any) -> Iterator[str]:
    if isinstance(value, type):
        yield from _schema(value)
    elif is_dataclass(value):
        for field in fields(value):
            part = getattr(value, field.name)
            if field.name in {"input_type", "output_type", "row", "args_model", "returns"}:
                yield from _schema(part)
            elif not callable(part):
                yield f"{field.name}={part!r}"


def _schema(kind: Any) -> Iterator[str]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        validators = kind.__pydantic_decorators__
        if any(getattr(validators, field.name) for field in fields(validators)):
            yield hashlib.sha256(_text_of(kind.__module__)).hexdigest()
    try:
        yield repr(TypeAdapter(kind).json_schema())
    except PydanticUserError:  # a type without a JSON schema is known by its name
        yield repr(kind)


def _text_of(module: str) -> bytes:
    """Return the source of a module of the user's, nothing for others."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or is_ours(module) or not file.endswith(".py") or Path(file).is_relative_to(sys.base_prefix):
        return b""
    return b"" if "site-packages" in Path(file).parts else Path(file).read_bytes()
