"""One log for many processes: each line says who wrote it, in a colour of its own, and no line is cut by another."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import IO, TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")
LONGEST = 64 * 1024  # bytes; what has no line end by then is shown in pieces


class MergedLog:
    """Prints lines of several writers, named and coloured; with `plain` (lines of JSON) exactly as they came."""

    def __init__(self, file: IO[str] | None = None, *, plain: bool = False, width: int = 9) -> None:
        self._console = Console(file=file or sys.stdout, highlight=False, soft_wrap=True, emoji=False)
        self._plain = plain
        self._width = width
        self._colours: dict[str, str] = {}
        self._lock = threading.Lock()

    def line(self, name: str, text: str) -> None:
        """Print one line of the writer `name`, from any thread."""
        with self._lock:
            if self._plain:
                self._console.file.write(f"{text}\n")
                self._console.file.flush()
                return
            colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
            self._console.print(Text.assemble((f"{name:<{self._width}} │ ", colour), Text.from_ansi(text)))

    async def follow(self, name: str, pipe: IO[bytes]) -> None:
        """Print what arrives on `pipe` as lines of `name`, until its other end is closed."""
        ended = asyncio.get_running_loop().create_future()
        lines = _Lines(lambda text: self.line(name, text), ended)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: lines, pipe)
        try:
            await ended
        finally:
            transport.close()


class _Lines(asyncio.Protocol):
    def __init__(self, take: Callable[[str], None], ended: asyncio.Future[None]) -> None:
        self._take = take
        self._ended = ended
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._take(line.decode("utf-8", "replace").rstrip("\r"))
        if len(self._rest) > LONGEST:
            self._take(self._rest.decode("utf-8", "replace"))
            self._rest = b""

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # a broken pipe ends the log as a closed one does
        if self._rest:
            self._take(self._rest.decode("utf-8", "replace"))
        if not self._ended.done():
            self._ended.set_result(None)
