"""Notes what an agent's function does to the outside itself: connections, processes, files; each is refused."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, Final

from streams.error_text import LIBRARIES
from streams.replay.errors import OutsideError
from streams.testing.user_functions import Place, coroutine_place, is_users

Effect = Callable[[str, list[Place]], None]  # takes what was done, the line, and where a coroutine called

_ANYWHERE: Final = {
    "socket.connect": "a connection",
    "socket.sendto": "a datagram",
    "socket.getaddrinfo": "a look-up of a host",
    "subprocess.Popen": "a process",
    "os.system": "a process",
    "os.posix_spawn": "a process",
    "os.exec": "a process",
}
_IN_USER_CODE: Final = {
    "os.remove": "a file is removed",
    "os.rename": "a file is renamed",
    "os.mkdir": "a folder is made",
    "os.rmdir": "a folder is removed",
    "os.truncate": "a file is cut",
    "shutil.rmtree": "a folder is removed",
    "sqlite3.connect": "a database is opened",
}
_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC

_watched: ContextVar[Effect | None] = ContextVar("streams_torture_effects", default=None)
_hooked: list[bool] = []


@contextmanager
def watching(effect: Effect) -> Iterator[None]:
    """Refuse effects in this context, and call `effect` with each."""
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_audit)  # a hook stays for ever: it asks the context
    token = _watched.set(effect)
    try:
        yield
    finally:
        _watched.reset(token)


@contextmanager
def allowing() -> Iterator[None]:
    """Let effects happen: a step is under way."""
    token = _watched.set(None)
    try:
        yield
    finally:
        _watched.reset(token)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _ANYWHERE and event not in _IN_USER_CODE and event != "open":
        return
    effect = _watched.get()
    if effect is None:
        return
    what = _ANYWHERE.get(event) or _IN_USER_CODE.get(event)
    if event == "open":
        what = "a file is written" if isinstance(arguments[2], int) and arguments[2] & _WRITES else None
    caller = _caller(sys._getframe(1))  # noqa: SLF001  the line that the finding names
    if what is None or caller is None or (event not in _ANYWHERE and not _is_direct(sys._getframe(1))):  # noqa: SLF001
        return
    effect(what, [(caller.f_code.co_filename, caller.f_lineno), *coroutine_place(caller)])
    raise OutsideError(f"{what} outside of a step or tool (audit event {event})")


def _caller(frame: FrameType | None) -> FrameType | None:
    """Return the innermost frame of user code."""
    while frame is not None and not is_users(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def _is_direct(frame: FrameType | None) -> bool:
    """Return whether user code did it, through the standard library at most; imports write files, too."""
    while frame is not None and not is_users(frame.f_code.co_filename):
        file = frame.f_code.co_filename
        if "importlib" in file or "site-packages" in file or not file.startswith((*LIBRARIES, "<")):
            return False
        frame = frame.f_back
    return frame is not None
