"""Variables that runs share (globals, closures, attributes of classes), and who changes them outside of steps."""

from __future__ import annotations

import itertools
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from types import CellType, FrameType, FunctionType
from typing import Any, Final

from streams.testing.user_functions import Place, coroutine_place, is_users, of_users_module, values_of

_MOST: Final = 2_000  # values that one fingerprint looks at

Reader = Callable[[], Any]


def variables_of(functions: Iterable[FunctionType]) -> dict[str, Reader]:
    """Return how to read each variable that functions share, by its name as people write it."""
    readers: dict[str, Reader] = {}
    for fn in functions:
        for holder, name, value in values_of(fn):
            if _is_state(value):
                readers[name] = _reader(holder, name)
        if vars(fn).keys() - {"__wrapped__"}:
            readers[f"{fn.__name__}.__dict__"] = lambda fn=fn: vars(fn)  # type: ignore[misc]
    return readers


def fingerprints(readers: Mapping[str, Reader]) -> dict[str, str]:
    """Return a hash of the value of each variable."""
    return {name: _fingerprint(read()) for name, read in readers.items()}


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> set[str]:
    """Return the names whose fingerprints differ."""
    return {name for name in one if one[name] != other[name]}


def writers(readers: Mapping[str, Reader], work: Callable[[], object]) -> dict[str, list[Place]]:
    """Do the work and return by variable what changed it first: the line, then where a coroutine called."""
    found: dict[str, list[Place]] = {}
    known = fingerprints(readers)
    last: list[Place] = []

    def local(frame: FrameType, event: str, _argument: Any) -> Any:
        changed = differing(known, now := fingerprints(readers)) if event != "call" else set()
        for name in changed:
            found.setdefault(name, list(last))
            known[name] = now[name]
        last[:] = [(frame.f_code.co_filename, frame.f_lineno), *coroutine_place(frame)]
        return local

    def begin(frame: FrameType, event: str, argument: Any) -> Any:
        return local(frame, event, argument) if is_users(frame.f_code.co_filename) else None

    before = sys.gettrace()
    sys.settrace(begin)
    try:
        work()
    finally:
        sys.settrace(before)
    return found


def _is_state(value: Any) -> bool:
    kind = type(value)
    if kind in _PLAIN or isinstance(value, _CONTAINERS):
        return True
    return of_users_module(value if isinstance(value, type) else kind)


def _reader(holder: Any, name: str) -> Reader:
    if isinstance(holder, CellType):
        return lambda: holder.cell_contents
    return lambda: holder.get(name)


_PLAIN: Final = (int, float, str, bytes, bool, type(None))
_CONTAINERS: Final = (dict, list, set, bytearray, deque, itertools.count, random.Random)


def _fingerprint(value: Any) -> str:
    parts: list[str] = []
    _describe(value, parts, set())
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _describe(value: Any, parts: list[str], seen: set[int]) -> None:
    """Append what makes a value different from another one; what is no data is its type only."""
    if len(parts) > _MOST:
        return
    if type(value) in _PLAIN or isinstance(value, bytearray | itertools.count):
        parts.append(repr(value))
        return
    parts.append(type(value).__qualname__)
    if id(value) not in seen:
        seen.add(id(value))
        _describe_inside(value, parts, seen)


def _describe_inside(value: Any, parts: list[str], seen: set[int]) -> None:
    if isinstance(value, set | frozenset):
        parts += sorted(_fingerprint(item) for item in itertools.islice(value, _MOST))
    elif isinstance(value, dict):
        _describe_items(value.items(), parts, seen)
    elif isinstance(value, list | tuple | deque):
        _describe_items(enumerate(value), parts, seen)
    elif isinstance(value, random.Random):
        parts.append(repr(hash(value.getstate())))
    elif of_users_module(value if isinstance(value, type) else type(value)):
        attributes = getattr(value, "__dict__", {})
        _describe_items([item for item in attributes.items() if not item[0].startswith("__")], parts, seen)


def _describe_items(items: Iterable[tuple[Any, Any]], parts: list[str], seen: set[int]) -> None:
    for name, item in list(items):
        parts.append(str(name))
        _describe(item, parts, seen)
