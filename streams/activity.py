"""What each thread that runs user code is at, in memory that another process can read.

The loop monitor (`streams.runtime.loop_process`) reads it when the event loop is blocked: then no code of this process
may be able to run, since a C function can hold the interpreter's lock. So everything is written before the user code
begins.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any, Final, ParamSpec, TypeVar

from streams import clock

T = TypeVar("T")
P = ParamSpec("P")

HEAD: Final = struct.Struct("=d")  # when the event loop was last seen to turn: CLOCK_MONOTONIC, seconds; 0: not yet
THREAD: Final = struct.Struct("=QQH")  # native id, Python's ident, length of the label behind it
PLACE_BYTES: Final = 512  # of one thread
PLACES: Final = 65  # the event loop's thread, and those for plain functions

LABEL: ContextVar[bytes] = ContextVar("streams_activity", default=b"")
"""What the current task does, for the functions that it calls in threads."""


def label(kind: str, partition: int, name: str, what: str) -> bytes:
    """Return a label: `run`, its partition, its id and its agent, or another kind with what names it."""
    return "\x1f".join((kind, str(partition), name, what)).encode("utf-8", "replace")[: PLACE_BYTES - THREAD.size]


class ActivityBoard:
    """A place for each thread, and the moment of the event loop's last turn."""

    def __init__(self) -> None:
        """Make the memory; `file` is its descriptor."""
        self.renew()

    def renew(self) -> None:
        """Make other memory: a process that was forked must not write to its parent's."""
        size = HEAD.size + PLACES * PLACE_BYTES
        if sys.platform == "linux":
            self.file = os.memfd_create("streams-activity")
        else:
            with tempfile.TemporaryFile() as made:
                self.file = os.dup(made.fileno())
        os.ftruncate(self.file, size)
        self._memory = mmap.mmap(self.file, size)
        self._loop = b""

    def beat(self) -> None:
        """Note that the event loop turns, in its thread."""
        self.enter(0, self._loop)
        HEAD.pack_into(self._memory, 0, clock.monotonic())

    def enter(self, place: int, text: bytes) -> None:
        """Write what the current thread, which has this place, is at; nothing: it is idle."""
        at = HEAD.size + place * PLACE_BYTES
        THREAD.pack_into(self._memory, at, threading.get_native_id(), threading.get_ident(), len(text))
        at += THREAD.size
        self._memory[at : at + len(text)] = text

    def during(self, text: bytes, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in the event loop's thread."""
        outer, self._loop = self._loop, text
        self.enter(0, text)
        try:
            return fn(*args, **kwargs)
        finally:
            self._loop = outer
            self.enter(0, outer)


BOARD: Final = ActivityBoard()
os.register_at_fork(after_in_child=BOARD.renew)


class Watched(Coroutine[Any, Any, T]):
    """A coroutine whose every step in the event loop is on the board."""

    __slots__ = ("_inner", "_text")

    def __init__(self, text: bytes, inner: Coroutine[Any, Any, T]) -> None:
        self._text = text
        self._inner = inner

    def send(self, value: Any) -> Any:
        """Go on."""
        return BOARD.during(self._text, self._inner.send, value)

    def throw(self, *error: Any) -> Any:
        """Go on with an error."""
        return BOARD.during(self._text, self._inner.throw, *error)

    def close(self) -> None:
        """End it."""
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return (yield from self._inner.__await__())
