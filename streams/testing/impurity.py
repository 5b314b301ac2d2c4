"""What a function may ask of the process that runs it, and what another process would have answered.

Each place in the code that asks gets the same answers in every replay, until a test shakes that one place: then the
clock is elsewhere, chance falls otherwise, variables of the environment have other values, sets another order. What
changes then changes because of that place.
"""

from __future__ import annotations

import builtins
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from types import ModuleType
from typing import Any, Final, Literal

from streams.clock import monotonic
from streams.errors import StreamsError

Kind = Literal["clock", "chance", "environment", "process", "order"]

USE_INSTEAD: Final[Mapping[Kind, str]] = {
    "clock": "run.now(), or read the clock in a step",
    "chance": "run.random(), or draw it in a step; ids can be derived from run.id",
    "environment": "a field of the input, or read it in a step",
    "process": "a step, whose result is recorded",
    "order": "sorted(…) of the set, or a list",
}

_CLOCK: Final = ("time", "monotonic", "perf_counter", "process_time", "localtime", "gmtime", "strftime", "ctime")
_SOURCES: Final[dict[tuple[str, str], Kind]] = {
    **{("time", name): "clock" for name in (*_CLOCK, *(f"{name}_ns" for name in _CLOCK[:4]))},
    **{("uuid", name): "chance" for name in ("uuid1", "uuid4")},
    **{("secrets", name): "chance" for name in ("token_bytes", "token_hex", "token_urlsafe", "randbelow")},
    ("posix", "urandom"): "chance",
    ("nt", "urandom"): "chance",
    ("os", "getenv"): "environment",
    ("posix", "getpid"): "process",
    ("nt", "getpid"): "process",
    ("_socket", "gethostname"): "process",
    ("platform", "node"): "process",
    ("threading", "get_ident"): "process",
    ("builtins", "hash"): "process",
}
_CHANCE: Final = random.random.__self__  # type: ignore[attr-defined]  # the generator behind the module's functions
_ORDERING: Final[tuple[Any, ...]] = (list, tuple, iter, enumerate, zip, map, filter)
_JUMP_S: Final = 400 * 86_400 + 5 * 3_600


class EndlessLoopError(StreamsError):
    """Raised in a loop of an agent under torture that comes to no operation before the time is over."""


@dataclass(frozen=True, slots=True)
class Site:
    """A place that asks: `what` is the call as people write it."""

    file: str
    line: int
    kind: Kind
    what: str


class Hooks:
    """Answers the places of instrumented code; `site` is the one that is shaken now."""

    def __init__(self, until: float) -> None:
        self.until = until  # by the monotonic clock: loops are left then
        self.loops: list[str] = []  # the places of those
        self.driving = False  # else a step is under way, which may ask for what it likes
        self.run_id = ""
        self.shaken: Site | None = None
        self.round = 0  # of shaking: chance falls otherwise in each
        self._lives: Counter[str] = Counter()
        self.sites: dict[Site, None] = {}
        self._places: list[tuple[str, int]] = []
        self._asked: Counter[tuple[str, Site]] = Counter()
        self._answers: dict[tuple[str, Site, int], Any] = {}

    def place(self, place: tuple[str, int]) -> int:
        """Return the number of a place in the code."""
        self._places.append(place)
        return len(self._places) - 1

    def shake(self, site: Site | None, round_: int) -> None:
        """Begin an execution, in which the site gives other answers from the second life of a run on."""
        self.shaken, self.round = site, round_
        self._lives.clear()
        self._asked.clear()

    def begin(self) -> None:
        """Count anew: the function of the current run begins, for the first time or in a replay."""
        self._lives[self.run_id] += 1
        for run_id, site in [key for key in self._asked if key[0] == self.run_id]:
            del self._asked[run_id, site]

    # called by instrumented code

    def call(self, place: int, fn: Any) -> Any:
        """Return the function to call instead of `fn`, which is mostly itself."""
        if not self.driving:
            return fn
        if any(fn is one for one in _ORDERING) or _is_join(fn):
            return partial(self._ordered_call, place, fn)
        if getattr(fn, "__name__", "") == "pop" and isinstance(getattr(fn, "__self__", None), set):
            return partial(self._popped, place, fn.__self__)
        source = _source(fn)
        if source is None:
            return fn
        return partial(self._answer, self._site(place, *source), fn)

    def order(self, place: int, values: Any) -> Any:
        """Return what is iterated over; a set in another order, if this place is shaken."""
        if not self.driving or not isinstance(values, set | frozenset) or _in_order(values):
            return values
        site = self._site(place, "order", "the order of a set")
        return list(values)[::-1] if self._is_shaken(site) else values

    def mapping(self, place: int, values: Any) -> Any:
        """Return the mapping that a subscript reads."""
        if not self.driving or values is not os.environ:
            return values
        return _Asking(partial(self._answer, self._site(place, "environment", "os.environ[…]"), os.environ.__getitem__))

    def turn(self, place: int) -> None:
        """Leave a loop that goes on when the time is over: nobody else can."""
        if self.driving and monotonic() > self.until:
            file, line = self._places[place]
            self.loops.append(f"{file}:{line}")
            raise EndlessLoopError(f"{file}:{line} goes on when the time is over")

    # how it answers

    def _site(self, place: int, kind: Kind, what: str) -> Site:
        site = Site(*self._places[place], kind, what)
        self.sites[site] = None
        return site

    def _ordered_call(self, place: int, fn: Any, *args: Any, **kwargs: Any) -> Any:
        return fn(*[self.order(place, value) for value in args], **kwargs)

    def _popped(self, place: int, values: set[Any]) -> Any:
        if not values:
            return values.pop()
        taken = next(iter(self.order(place, values)))
        values.remove(taken)
        return taken

    def _answer(self, site: Site, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if _is_decided(fn, args):
            return fn(*args, **kwargs)
        number = self._asked[self.run_id, site]
        self._asked[self.run_id, site] += 1
        if self._is_shaken(site):
            return self._other(site, fn, args, kwargs, number)
        key = (self.run_id, site, number)
        if key not in self._answers:
            given = fn(*args, **kwargs)
            self._answers[key] = list(args[0]) if fn.__name__ == "shuffle" else copy(given)
            return given
        if fn.__name__ == "shuffle":
            args[0][:] = self._answers[key]
            return None
        return copy(self._answers[key])

    def _is_shaken(self, site: Site) -> bool:
        return site == self.shaken and self._lives[self.run_id] > 1

    def _other(
        self, site: Site, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], number: int
    ) -> Any:
        if site.kind == "chance":
            return _other_chance(fn, args, kwargs, self.round)
        if site.kind == "environment":
            try:
                return _other_text(fn(*args, **kwargs))
            except KeyError:
                return "other"
        if site.kind == "clock":
            return _later(fn, fn(*args, **kwargs), args, _JUMP_S * (1 + number + self.round))
        value = fn(*args, **kwargs)
        return value + 1 if isinstance(value, int) else _other_text(value)


class _Asking:
    """A mapping that asks for each value."""

    def __init__(self, ask: Callable[[str], Any]) -> None:
        self._ask = ask

    def __getitem__(self, name: str) -> Any:
        return self._ask(name)

    def __iter__(self) -> Iterator[str]:
        return iter(os.environ)


def _source(fn: Any) -> tuple[Kind, str] | None:
    """Return what kind of thing a function asks for, and how it is written; None for one that decides by itself."""
    owner, name = getattr(fn, "__self__", None), getattr(fn, "__name__", "")
    if isinstance(owner, type) and issubclass(owner, date) and name in ("now", "utcnow", "today"):
        return "clock", f"{owner.__name__}.{name}()"
    if owner is os.environ and name == "get":
        return "environment", "os.environ.get()"
    if owner is _CHANCE or isinstance(owner, random.SystemRandom):
        return None if name in ("seed", "getstate", "setstate") else ("chance", f"random.{name}()")
    if fn is random.Random or fn is random.SystemRandom:
        return "chance", f"random.{name}()"
    module = owner.__name__ if isinstance(owner, ModuleType) else getattr(fn, "__module__", None) or ""
    kind = _SOURCES.get((module, name))
    shown = "os" if module in ("posix", "nt") else module.removeprefix("_")
    return None if kind is None else (kind, f"{name}()" if shown == "builtins" else f"{shown}.{name}()")


def _is_decided(fn: Any, args: tuple[Any, ...]) -> bool:
    """Return whether the arguments decide the answer: a seeded generator, the text of a given time."""
    name = getattr(fn, "__name__", "")
    if fn is random.Random:
        return bool(args)
    if fn is builtins.hash:
        return not isinstance(args[0], str | bytes)
    return (name in ("localtime", "gmtime", "ctime") and bool(args)) or (name == "strftime" and len(args) > 1)


def _is_join(fn: Any) -> bool:
    return getattr(fn, "__name__", "") in ("join", "extend") and isinstance(getattr(fn, "__self__", None), str | list)


def _in_order(values: Any) -> bool:
    """Return whether each process goes through a set in the same order: hashes of numbers are the same in all."""
    return len(values) < 2 or all(isinstance(value, int | float) for value in values)


def _later(fn: Any, value: Any, args: tuple[Any, ...], seconds: int) -> Any:
    """Return what a clock shows some time later."""
    if isinstance(value, date):
        return (
            value + timedelta(seconds=seconds) if isinstance(value, datetime) else value + timedelta(seconds // 86_400)
        )
    if isinstance(value, int | float):
        return value + seconds * (1_000_000_000 if fn.__name__.endswith("_ns") else 1)
    then = time.gmtime(seconds) if fn.__name__ == "gmtime" else time.localtime(seconds)
    if fn.__name__ == "strftime":
        return time.strftime(args[0], then)
    return time.asctime(then) if isinstance(value, str) else then


def _other_chance(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], round_: int) -> Any:
    """Return an extreme of what may fall, each in turn, and then what falls."""
    name, extreme = fn.__name__, round_ % 3
    if extreme == 2 or kwargs:
        return fn(*args, **kwargs)
    if name == "random":
        return (0.0, 1 - 2**-53)[extreme]
    if name in ("randint", "uniform") and len(args) == 2:
        return args[extreme]
    if name == "choice" and args[0]:
        return args[0][(0, -1)[extreme]]
    return fn(*args)


def _other_text(value: Any) -> str:
    text = str(value or "")
    return str(int(text) + 1) if text.isdecimal() else f"{text}other"
