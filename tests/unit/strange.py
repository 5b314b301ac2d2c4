"""Exceptions as user code and its libraries raise them: none of them may harm who handles it."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import Any


class NoText(Exception):
    """Its text is None."""

    def __str__(self) -> str:
        return None  # type: ignore[return-value]  # noqa: PLE0307 - that is what is tried


class RaisingText(Exception):
    """Its text cannot be made."""

    def __str__(self) -> str:
        raise SystemExit(4)

    __repr__ = __str__


class EndlessText(Exception):
    """Its text is made of itself."""

    def __str__(self) -> str:
        return str(self)


class RaisingPause(Exception):
    """A property that is looked at raises."""

    @property
    def retry_after(self) -> float:
        raise RuntimeError("no response")


class RaisingAttributes(Exception):
    """It has no attribute, and says so by another error than AttributeError."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)


class Meta(type):
    """A class without a name."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise ValueError("no name")


class Nameless(Exception, metaclass=Meta):
    """Its class has no name."""


class Panic(BaseException):
    """What a Rust extension raises when it panics."""


def _text() -> BaseException:
    return ValueError("x" * 50_000_000)


def _unfinished() -> BaseException:
    return ValueError("half of an emoji: \ud83d")


MAKERS: dict[str, tuple[Callable[[], BaseException], str]] = {
    "no text": (NoText, "NoText"),
    "text raises": (RaisingText, "RaisingText"),
    "text without end": (EndlessText, "EndlessText"),
    "pause raises": (RaisingPause, "RaisingPause"),
    "attributes raise": (RaisingAttributes, "RaisingAttributes"),
    "no name": (Nameless, "Exception"),
    "huge": (_text, "ValueError"),
    "surrogate": (_unfinished, "ValueError"),
    "SystemExit": (lambda: SystemExit(3), "SystemExit"),
    "KeyboardInterrupt": (KeyboardInterrupt, "KeyboardInterrupt"),
    "GeneratorExit": (GeneratorExit, "GeneratorExit"),
    "CancelledError": (asyncio.CancelledError, "CancelledError"),
    "CancelledError of a future": (concurrent.futures.CancelledError, "CancelledError"),
    "InvalidStateError of a future": (concurrent.futures.InvalidStateError, "InvalidStateError"),
    "panic": (lambda: Panic("index out of bounds"), "Panic"),
    "group": (lambda: BaseExceptionGroup("several", [SystemExit(1), ValueError("x")]), "BaseExceptionGroup"),
}
"""By name: how to make the exception, and the name under which it is recorded."""

PLAIN = {**MAKERS, "StopIteration": (lambda: StopIteration(7), "StopIteration")}
"""Also what a coroutine cannot raise (PEP 479)."""
