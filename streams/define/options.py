"""Options of decorators, checked where they are written: a message names file, line, option and what to write."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from streams.define.signatures import where
from streams.errors import DefinitionError

if TYPE_CHECKING:
    from types import FrameType

P = ParamSpec("P")
T = TypeVar("T")
Expect = Callable[[Any], "str | None"]  # None for a value that is right, else what is right

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # it becomes part of a topic's name
_WRITE: Final = "write seconds(30), minutes(5), or a number of seconds"


def decorator(example: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a decorator refuse options that it does not have, and being written without what `example` shows.

    The signature stays the decorator's own, so that `help` and editors show every option.
    """

    def wrap(make: Callable[P, T]) -> Callable[P, T]:
        parameters = inspect.signature(make).parameters.values()
        known = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
        bare = any(one.kind in (one.POSITIONAL_ONLY, one.VAR_POSITIONAL) for one in parameters)
        name = getattr(make, "__name__", "")

        @functools.wraps(make)
        def checked(*args: P.args, **options: P.kwargs) -> T:
            _refuse_unknown(f"@{name}", options, known)
            if args and not bare:
                place = where(args[0]) if callable(args[0]) else written_at()
                raise DefinitionError(f"{place}: write {example}")
            return make(*args, **options)

        return checked

    return wrap


def known_options(make: Callable[P, T]) -> Callable[P, T]:
    """Make a function refuse options that it does not have, with the place of the call and the name that was meant."""
    known = _names_of(make)

    @functools.wraps(make)
    def checked(*args: P.args, **options: P.kwargs) -> T:
        _refuse_unknown(getattr(make, "__name__", ""), options, known)
        return make(*args, **options)

    return checked


def known_fields(cls: type[T]) -> type[T]:
    """Make a class refuse fields that it does not have, with the place of the call and the name that was meant."""
    init, known = cls.__init__, _names_of(cls.__init__)[1:]

    @functools.wraps(init)
    def checked(self: T, *args: Any, **options: Any) -> None:
        _refuse_unknown(cls.__name__, options, known)
        init(self, *args, **options)

    setattr(cls, "__init__", checked)  # noqa: B010 - mypy allows no other way to wrap a constructor
    return cls


def _names_of(make: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(make).parameters)


def _refuse_unknown(what: str, options: Mapping[str, Any], known: Sequence[str]) -> None:
    for option in options:
        if option not in known:
            raise DefinitionError(f"{written_at()}: {what} has no option {option!r}{_meant(option, known)}")


def _meant(option: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(option, known, 1, 0.5)
    listed = f"it has {', '.join(known)}"
    return f": did you mean {close[0]!r}? ({listed})" if close else f": {listed}"


def written_at() -> str:
    """Return file and line of the code that called into Streams' decorators and policies."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  there is no public way to see the caller
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith("streams.define."):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def check(fn: Callable[..., Any], **options: tuple[Any, Expect]) -> None:
    """Raise DefinitionError, naming the place of fn, for the first option whose value is not as expected."""
    for name, (value, expect) in options.items():
        wanted = expect(value)
        if wanted is not None:
            raise DefinitionError(f"{where(fn)}: {name}={value!r} is not possible: {name}= is {wanted}")


def optional(expect: Expect) -> Expect:
    """Return what also allows None."""
    return lambda value: None if value is None else expect(value)


def whole(least: int) -> Expect:
    """Expect an integer of at least `least`."""

    def expect(value: Any) -> str | None:
        sound = isinstance(value, int) and not isinstance(value, bool) and value >= least
        return None if sound else f"a whole number of at least {least}"

    return expect


def is_number(value: Any) -> bool:
    """Return whether value is a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def duration(value: Any) -> str | None:
    """Expect a finite number of seconds above 0."""
    return None if is_number(value) and value > 0 else f"a finite number of seconds above 0: {_hint(value)}"


def pause(value: Any) -> str | None:
    """Expect a finite number of seconds, 0 included."""
    return None if is_number(value) and value >= 0 else f"a finite number of seconds, 0 or more: {_hint(value)}"


def _hint(value: Any) -> str:
    if isinstance(value, timedelta):
        return "write value.total_seconds() for a timedelta"
    if isinstance(value, int | float) and value > 0:
        return "write days(365) for a very long time"
    return _WRITE


def truth(value: Any) -> str | None:
    """Expect True or False."""
    return None if isinstance(value, bool) else "True or False"


def pool_name(value: Any) -> str | None:
    """Expect the name of a pool."""
    sound = isinstance(value, str) and _NAME.fullmatch(value) is not None
    return None if sound else 'a name of letters, digits, ".", "_" and "-", such as "heavy"'


def text(value: Any) -> str | None:
    """Expect text that is not empty."""
    return None if isinstance(value, str) and value else "a text that is not empty"


def instance(kind: type[Any] | tuple[type[Any], ...], example: str) -> Expect:
    """Expect an instance of a class, as in `example`."""
    return lambda value: None if isinstance(value, kind) else f"as in {example}"


def one_of(*values: str) -> Expect:
    """Expect one of some texts."""
    return lambda value: None if isinstance(value, str) and value in values else f"one of {', '.join(values)}"


def plain_function(fn: Callable[..., Any], kind: str) -> None:
    """Raise DefinitionError for a coroutine function or a generator, whose body a call does not run."""
    if inspect.iscoroutinefunction(fn):
        raise DefinitionError(f"{where(fn)}: {kind} is written as `def`, not `async def`: it must not wait")
    no_generator(fn, kind)


def no_generator(fn: Callable[..., Any], kind: str) -> None:
    """Raise DefinitionError for a generator function."""
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise DefinitionError(f"{where(fn)}: {kind} returns its results: return a list in place of `yield`")
