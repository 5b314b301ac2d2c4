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
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEASH = Path(__file__).with_name("leash.py")


def spawn(
    command: Sequence[str | Path],
    *,
    output: int | IO[bytes] = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    inherit: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `command` and return it; it is killed when this process ends, however that happens.

    Its standard output and error go to `output` (a file, or subprocess.PIPE); `inherit` are descriptors that it gets
    under the same numbers. It has a process group of its own:
    Ctrl-C reaches only us, who stop our children in order. Its process id is the command's own.
    """
    leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *map(str, command)]
    return _starter().submit(_start, leash, output, environment, folder, inherit).result()


@cache
def _starter() -> ThreadPoolExecutor:
    """Return the thread that starts all children and lives as long as we do.

    Linux ties a child to the thread, not to the process, that started it: from a short-lived one it would die early.
    """
    return ThreadPoolExecutor(1, thread_name_prefix="spawn")


def _start(
    command: list[str],
    output: int | IO[bytes],
    environment: Mapping[str, str] | None,
    folder: Path | None,
    inherit: Sequence[int],
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=folder,
        process_group=0,
        pass_fds=inherit,
    )


class Process(Protocol):
    """What a supervisor needs of a process: `subprocess.Popen` has it, and others that start processes offer it."""

    @property
    def pid(self) -> int:
        """The process id."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """What it prints, None when that goes elsewhere."""

    def poll(self) -> int | None:
        """Return the status, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the status once there is one; raises subprocess.TimeoutExpired."""
        ...

    def send_signal(self, sig: int) -> None:
        """Send a signal."""

    def kill(self) -> None:
        """End it at once."""


async def ended(process: Process) -> int:
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
