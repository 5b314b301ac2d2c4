"""Describes an exception as text, whatever its class does.

`__str__`, `__getattr__`, properties and metaclasses of an exception are user code: each of them may raise, return what
is no text, or return very much of it. A description never raises and is bounded, so it can be made at any place that
handles an error.
"""

from __future__ import annotations

import sysconfig
import traceback as tracebacks
from typing import Any, Final

from streams.errors import UserCodeExit
from streams.telemetry import redact

LIBRARIES: Final = tuple({sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})
"""Folders of the standard library and of installed packages: what is not in them is the user's code, or ours."""

MESSAGE_CHARS: Final = 4_000  # of a message that is recorded
TRACEBACK_CHARS: Final = 8_000  # of a traceback, counted from its end
_READ_CHARS: Final = 65_536  # of a longer text no more than this is searched for credentials


def error_type(error: BaseException) -> str:
    """Return the name of the error's class; for a UserCodeExit that of what the user code raised."""
    return _class_name(type(origin(error)))


def error_types(error: BaseException) -> tuple[str, ...]:
    """Return the names of the error's class and its bases, `object` excluded: a retry policy compares them."""
    return tuple(_class_name(kind) for kind in type.mro(type(origin(error)))[:-1])


def error_message(error: BaseException, chars: int = MESSAGE_CHARS) -> str:
    """Return the error's message without credentials and in at most `chars` characters; never empty."""
    text = redact(_text(origin(error))[:_READ_CHARS])
    if len(text) > chars:
        text = f"{text[: chars - 4]} ..."
    return text or error_type(error)


def error_traceback(error: BaseException, *, frames: int | None = None, chars: int = TRACEBACK_CHARS) -> str:
    """Return the end of the traceback, of the last `frames` frames, in at most `chars` characters."""
    shown = origin(error)
    try:
        lines = tracebacks.format_exception(shown, limit=None if frames is None else -frames)
    except BaseException:  # noqa: BLE001 - the classes of the chained exceptions are user code too
        lines = [f"{error_type(error)}: {error_message(error)}"]
    return redact(_encodable("".join(lines)[-_READ_CHARS:]))[-chars:]


def error_attribute(error: BaseException, name: str) -> Any:
    """Return an attribute of an exception, None where it has none or a property of it raises."""
    try:
        return getattr(origin(error), name, None)
    except BaseException:  # noqa: BLE001 - a property or `__getattr__` is user code
        return None


def origin(error: BaseException) -> BaseException:
    """Return what user code raised: the cause of a UserCodeExit, else the error itself."""
    cause = error.__cause__ if issubclass(type(error), UserCodeExit) else None
    return error if cause is None else cause


def _text(error: BaseException) -> str:
    try:
        text = str(error)
        return _encodable(str.__str__(text[: _READ_CHARS + 1]))
    except BaseException:  # noqa: BLE001 - `__str__` is user code
        return "<exception str() failed>"


def _class_name(kind: type) -> str:
    try:
        name = kind.__name__
    except BaseException:  # noqa: BLE001 - a metaclass is user code
        return "Exception"
    return name if type(name) is str else "Exception"


def _encodable(text: str) -> str:
    """Return text that UTF-8 can hold: half of a surrogate pair is shown by its escape."""
    return text.encode("utf-8", "backslashreplace").decode()
