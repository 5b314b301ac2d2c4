"""The one place that starts processes, each on a leash, so that nothing we start outlives us."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEASH = Path(__file__).with_name("leash.py")


def spawn(
    command: Sequence[str | Path],
    *,
    output: int | IO[bytes] = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` and return it; it is killed when this process ends, however that happens.

    Its standard output and error go to `output` (a file, or subprocess.PIPE). It has a process group of its own:
    Ctrl-C reaches only us, who stop our children in order. Its process id is the command's own.
    """
    leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *map(str, command)]
    return _starter().submit(_start, leash, output, environment, folder).result()


@cache
def _starter() -> ThreadPoolExecutor:
    """Return the thread that starts all children and lives as long as we do.

    Linux ties a child to the thread, not to the process, that started it: from a short-lived one it would die early.
    """
    return ThreadPoolExecutor(1, thread_name_prefix="spawn")


def _start(
    command: list[str], output: int | IO[bytes], environment: Mapping[str, str] | None, folder: Path | None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=folder,
        process_group=0,
    )


async def ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of `process` and return its status, negative for a signal."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[int] = loop.create_future()

    def finish(status: int) -> None:
        if not result.done():
            result.set_result(status)

    def wait() -> None:
        status = process.wait()
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, status)

    threading.Thread(target=wait, name=f"wait-{process.pid}", daemon=True).start()
    return await result
