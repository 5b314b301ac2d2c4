"""What a function's annotations say: read at one place, so that every decorator complains in the same words."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any, ForwardRef, Union, get_args, get_origin

from schemas.typedjson import unreadable, unrecordable
from streams.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

_EMPTY = inspect.Signature.empty


def doc_of(fn: Callable[..., Any]) -> str:
    """Return the function's docstring, cleaned, or an empty text."""
    return inspect.getdoc(fn) or ""


def parameters_of(fn: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters in order, annotations as written."""
    return list(inspect.signature(fn).parameters.values())


def resolve(fn: Callable[..., Any], annotation: Any, what: str) -> Any:
    """Return the type that an annotation names, also when it is text; raise DefinitionError if there is none."""
    if annotation is _EMPTY:
        raise DefinitionError(f"{where(fn)}: annotate {what}, it says how data is checked")
    if not isinstance(annotation, str | ForwardRef):
        return annotation
    text = annotation if isinstance(annotation, str) else annotation.__forward_arg__
    try:
        return eval(text, getattr(fn, "__globals__", {}), _locals_around(fn))  # noqa: S307  the author's own annotation
    except Exception as error:
        raise DefinitionError(f"{where(fn)}: the type {text!r} of {what} is unknown here ({error})") from error


def recordable(fn: Callable[..., Any], kind: Any, what: str, *, returned: bool = False) -> Any:
    """Return kind; raise DefinitionError if no value of it could be read from a record.

    A secret may come with an input, as the text that a request has; `returned` says that only code makes the value.
    """
    reason = unreadable(kind) or (unrecordable(kind) if returned else None)
    if reason is not None:
        raise DefinitionError(f"{where(fn)}: {what}: {reason}")
    return kind


def underlying(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that a call of fn runs: what a partial binds, the `__call__` of an object."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    if inspect.isroutine(fn) or inspect.isclass(fn):
        return fn
    call: Callable[..., Any] = type(fn).__call__
    return call


def name_of(fn: Callable[..., Any]) -> str:
    """Return the name under which a call of fn is recorded: the function's or, for an object, its class's."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    named: str = getattr(fn, "__qualname__", type(fn).__qualname__)
    return named.rpartition("<locals>.")[2]


def event_types(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union without None and, of a list, the element types."""
    origin = get_origin(annotation)
    if origin is Union or type(annotation).__name__ == "UnionType":
        return tuple(kind for part in get_args(annotation) for kind in event_types(part))
    if origin is list:
        return tuple(kind for part in get_args(annotation) for kind in event_types(part))
    return () if annotation in (None, type(None)) else (annotation,)


def where(fn: Callable[..., Any]) -> str:
    """Return file, line and name of a function, for messages."""
    code = getattr(fn, "__code__", None)
    name = getattr(fn, "__qualname__", repr(fn))
    return name if code is None else f"{code.co_filename}:{code.co_firstlineno} {name}"


def require_async(fn: Callable[..., Any], kind: str) -> None:
    """Raise DefinitionError unless fn is a coroutine function."""
    if not inspect.iscoroutinefunction(fn):
        raise DefinitionError(f"{where(fn)}: {kind} is written as `async def`")


def _locals_around(fn: Callable[..., Any]) -> Mapping[str, Any]:
    """Return the names of the function in which fn is being defined: classes of a test are local to it."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  there is no public way to see the definer
    filename = getattr(getattr(fn, "__code__", None), "co_filename", None)
    while frame is not None:
        if frame.f_code.co_filename == filename:
            return frame.f_locals
        frame = frame.f_back
    return {}
