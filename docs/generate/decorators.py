"""What a user imports from `streams`: the decorators' options, the methods of a run, the values, the test tools."""

from __future__ import annotations

import inspect
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

import streams
import streams.testing
from docs.generate.markdown import about, code, default_of, prose, table, type_of
from schemas import Event, Record
from streams.errors import StreamsError
from topics import Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DECORATED: Final = """# Decorators

All are imported from `streams`. An option that does not exist, or whose value is not possible, is a `DefinitionError`
at import, with file and line. Durations are numbers of seconds; `seconds`, `minutes`, `hours` and `days` make them.
"""
DECORATORS: Final = ("agent", "tool", "on", "source", "schedule", "table")
RUN: Final = {
    "Effects": ("step", "tool", "llm"),
    "Other agents": ("call", "start", "gather", "gather_all"),
    "Waiting": ("sleep", "wait_for", "approve", "ask"),
    "Progress and events": ("progress", "emit", "stage"),
    "Without an entry of their own": ("now", "random", "patched"),
    "Properties": ("id", "agent", "parent", "idempotency_key"),
}
"""The public members of `Run`, by purpose; `run_page` refuses a member that is missing here."""
_REPEATED: Final = {"call_agent"}  # `call` with one agent does the same


def decorators_page() -> str:
    """Return the page of the decorators."""
    return "\n".join([DECORATED, *(_decorator(name, getattr(streams, name)) for name in DECORATORS)])


def _decorator(name: str, make: Callable[..., Any]) -> str:
    doc = inspect.getdoc(make) or ""
    options = [one for one in inspect.signature(make).parameters.values() if one.kind is not one.POSITIONAL_ONLY]
    rows = [
        (code(_written(one)), type_of(one.annotation), default_of(one), _meaning(name, one, doc)) for one in options
    ]
    summary = prose(doc).split("\n\n")[0]
    return f"## `@{name}`\n\n{summary}\n\n{table(('option', 'type', 'default', 'meaning'), rows)}"


def _meaning(decorator: str, parameter: inspect.Parameter, doc: str) -> str:
    found = about(parameter.name, doc)
    if not found:
        raise StreamsError(f"no docstring says what {parameter.name}= of @{decorator} means: write a sentence there")
    return found


def _written(parameter: inspect.Parameter) -> str:
    return f"*{parameter.name}" if parameter.kind is parameter.VAR_POSITIONAL else parameter.name


def run_page() -> str:
    """Return the page of `Run`."""
    kind = streams.Run
    public = {name for name in vars(kind) if not name.startswith("_")} - _REPEATED
    missing = public ^ {name for names in RUN.values() for name in names}
    if missing:
        raise StreamsError(f"docs/generate/decorators.py: list or remove in RUN: {', '.join(sorted(missing))}")
    parts = [f"# `Run`\n\n{prose(kind.__doc__ or '')}\n"]
    for title, names in RUN.items():
        parts.append(f"## {title}\n")
        parts += [_member(name, vars(kind)[name]) for name in names]
    return "\n".join(parts)


def _member(name: str, value: Any, owner: str = "run.") -> str:
    head = name if isinstance(value, property) else f"{name}{_call(value)}"
    return f"### `{owner}{name}`\n\n```text\n{owner}{head}\n```\n\n{prose(value.__doc__ or '')}\n"


def _call(function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    shown: list[str] = []
    star = False
    for one in signature.parameters.values():
        if one.name == "self":
            continue
        if one.kind is one.KEYWORD_ONLY and not star:
            shown.append("*")
        star = star or one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        shown.append(_parameter(one))
    result = "" if signature.return_annotation in (signature.empty, None, "None") else f" -> {_type(signature)}"
    return f"({', '.join(shown)}){result}"


def _parameter(one: inspect.Parameter) -> str:
    stars = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
    annotation = type_of(one.annotation).strip("`")
    typed = f": {annotation}" if annotation else ""
    return f"{stars}{one.name}{typed}{'' if one.default is one.empty else f' = {one.default!r}'}"


def _type(signature: inspect.Signature) -> str:
    return type_of(signature.return_annotation).strip("`")


def values_page() -> str:
    """Return the page of the values and functions beside the decorators."""
    skipped = {*DECORATORS, "Run"}
    names = [name for name in streams.__all__ if name not in skipped and not _is_error(getattr(streams, name))]
    parts = ["# Values and functions\n\n## From `streams`\n"]
    parts += [_described(name, getattr(streams, name)) for name in names]
    parts.append("## From `schemas`\n")
    parts += [_described("Event", Event), _described("Record", Record)]
    parts.append("## From `topics`\n")
    parts.append(_described("Topic", Topic))
    return "\n".join(parts)


def testing_page() -> str:
    """Return the page of `streams.testing`."""
    parts = [f"# `streams.testing`\n\n{prose(streams.testing.__doc__ or '')}\n"]
    for name in streams.testing.__all__:
        value = getattr(streams.testing, name)
        if callable(value):
            parts.append(_described(name, value))
    return "\n".join(parts)


def _is_error(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _described(name: str, value: Any) -> str:
    text = prose(value.__doc__ or "")
    if isinstance(value, type) and issubclass(value, BaseModel) and value.model_fields:
        rows = [
            (code(field), type_of(info.annotation), "required" if info.is_required() else code(repr(info.default)))
            for field, info in value.model_fields.items()
        ]
        return f"### `{name}`\n\n{text}\n\n{table(('field', 'type', 'default'), rows)}"
    shown = "" if isinstance(value, type) and issubclass(value, BaseModel | BaseException) else _signature(name, value)
    methods = "\n".join(_methods(name, value)) if isinstance(value, type) and not is_dataclass(value) else ""
    return f"### `{name}`\n\n{shown}{text}\n{methods}"


def _signature(name: str, value: Any) -> str:
    return f"```text\n{name}{_call(value)}\n```\n\n"


def _methods(name: str, kind: type[Any]) -> Iterator[str]:
    for method, value in vars(kind).items():
        if inspect.isfunction(value) and not method.startswith("_"):
            yield f"\n`{name}.{method}{_call(value)}`: {prose(value.__doc__ or '')}\n"
