"""Finds the functions and the variables of a user's code that an agent reaches by name."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from streams.define.agents import Agent, Bound
from streams.define.tools import Tool
from streams.error_text import LIBRARIES

_HOME: Final = Path(__file__).parent.parent
_OURS: Final = tuple(f"{_HOME.parent / name}/" for name in ("streams", "schemas", "topics"))
_EXAMPLES: Final = f"{_HOME / 'agents'}/"

Place = tuple[str, int]  # file and line


@lru_cache(maxsize=4096)
def is_users(file: str) -> bool:
    """Return whether a file is neither a library's nor ours; the agents that ship count as a user's."""
    return file.startswith(_EXAMPLES) or not file.startswith((*LIBRARIES, *_OURS, "<"))


def functions_of(roots: Iterable[Any]) -> list[FunctionType]:
    """Return the functions of user code that the roots name, directly or through each other."""
    found: dict[int, FunctionType] = {}
    waiting = [*roots]
    while waiting:
        for fn in _functions_in(waiting.pop()):
            if id(fn) not in found and is_users(fn.__code__.co_filename):
                found[id(fn)] = fn
                waiting += [value for _, _, value in values_of(fn)]
    return list(found.values())


def agents_of(agent: Agent[Any, Any]) -> list[Agent[Any, Any]]:
    """Return the agents that an agent reaches by name, also through helpers and each other; itself is the first."""
    named = [value for fn in functions_of([agent]) for _, _, value in values_of(fn)]
    return [agent, *(value for value in named if isinstance(value, Agent))]


def values_of(fn: FunctionType) -> Iterator[tuple[Any, str, Any]]:
    """Yield what a function names outside of itself: who holds it, its name, and its value now."""
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            yield cell, name, cell.cell_contents
        except ValueError:
            continue  # it has no value yet
    names = {name for code in codes_of(fn.__code__) for name in code.co_names}
    for name in sorted(names):
        if name in fn.__globals__:
            value = fn.__globals__[name]
            yield fn.__globals__, name, value
            if isinstance(value, ModuleType) and is_users(getattr(value, "__file__", None) or "<"):
                inner = vars(value)
                yield from ((inner, attribute, inner[attribute]) for attribute in sorted(names & inner.keys()))


def codes_of(code: CodeType) -> Iterator[CodeType]:
    """Yield a code and those of the functions inside of it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_of(constant)


def coroutine_place(frame: FrameType | None) -> list[Place]:
    """Return the line of the innermost coroutine of user code, in a list: that is where a step can be put."""
    while frame is not None:
        if frame.f_code.co_flags & inspect.CO_COROUTINE and is_users(frame.f_code.co_filename):
            return [(frame.f_code.co_filename, frame.f_lineno)]
        frame = frame.f_back
    return []


def _functions_in(value: Any) -> Iterator[FunctionType]:
    inner = _inner(value)
    if inner is not None:
        yield from _functions_in(inner)
    if isinstance(value, FunctionType):
        yield value
    elif inner is None:
        kind = value if isinstance(value, type) else type(value)
        for base in kind.__mro__ if of_users_module(kind) else ():
            if of_users_module(base):
                yield from _methods_of(base)


def _inner(value: Any) -> Any:
    """Return what a wrapper of a function calls, None for anything else."""
    if isinstance(value, Agent | Tool):
        return value.fn
    if isinstance(value, Bound):
        return value.agent
    if isinstance(value, MethodType | classmethod | staticmethod):
        return value.__func__
    if isinstance(value, partial):
        return value.func
    if isinstance(value, property):
        return value.fget
    return getattr(value, "__wrapped__", None) if callable(value) else None  # functools.wraps, functools.cache


def _methods_of(kind: type) -> Iterator[FunctionType]:
    for member in list(vars(kind).values()):
        if isinstance(member, FunctionType | classmethod | staticmethod | property):
            yield from _functions_in(member)


def of_users_module(kind: type) -> bool:
    """Return whether a class is defined in a user's module."""
    module = sys.modules.get(kind.__module__)
    return module is not None and is_users(getattr(module, "__file__", None) or "<")
