"""Keeps code that is run again from reaching the outside: connections and processes are refused at the interpreter."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from streams.replay.errors import OutsideError

_OUTSIDE: Final = frozenset(
    {
        "socket.connect",
        "socket.sendto",
        "socket.sendmsg",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.fork",
        "os.posix_spawn",
    }
)

_walled: ContextVar[bool] = ContextVar("streams_replay_walled", default=False)
_hooked: list[bool] = []


@contextmanager
def walled() -> Iterator[None]:
    """Refuse, in this context and the threads that it starts work in, whatever Python's audit events call outside.

    Code that means harm or calls the operating system from C can get around it; code that forgot itself cannot.
    """
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_refuse)  # there is no way to take a hook off again, so it is set once and asks the context
    token = _walled.set(True)
    try:
        yield
    finally:
        _walled.reset(token)


@contextmanager
def opened() -> Iterator[None]:
    """Let what runs in the block reach the outside, inside `walled`: a call that a replay may make."""
    token = _walled.set(False)
    try:
        yield
    finally:
        _walled.reset(token)


def _refuse(event: str, _args: tuple[Any, ...]) -> None:
    if event in _OUTSIDE and _walled.get():
        raise OutsideError(
            f"{event} in a replay that answers from recordings: do it in a tool or step, or say --calls live"
        )
