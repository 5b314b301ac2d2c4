"""Processes forked from one that has imported the product, because that takes longer than most tests.

The parent of all of them has the standard library's fork server as its only thread and has made no client, so a child
differs from a new process only in what it need not import. What a user starts is tested by the suites that start
`streams dev` and `streams demo`.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Final

IMPORTED: Final = ["streams.worker.main", "streams.gateway.serve"]
_PR_SET_PDEATHSIG: Final = 1

Main = Callable[[Sequence[str]], None]


class ForkedProcess:
    """What `subprocess.Popen` offers, as far as tests use it."""

    def __init__(self, process: ForkServerProcess) -> None:
        """Wrap a process that runs."""
        self._process = process
        assert process.pid is not None
        self.pid = process.pid

    @property
    def returncode(self) -> int | None:
        """Return the status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self) -> int:
        """Wait for the end and return the status."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill -9."""
        self.send_signal(signal.SIGKILL)


def fork(
    main: Main, arguments: Sequence[str], *, output: Path, environment: Mapping[str, str], folder: Path
) -> ForkedProcess:
    """Run `main` with `arguments` in a process of its own, which dies with this one."""
    output.write_bytes(b"")  # it is there to be read from the moment on when the process is
    process = _context().Process(
        target=_enter, args=(main, list(arguments), str(output), dict(environment), str(folder)), daemon=True
    )
    process.start()
    return ForkedProcess(process)


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


def _enter(main: Main, arguments: Sequence[str], output: str, environment: Mapping[str, str], folder: str) -> None:
    """Become what a new process would be: its own group, environment, folder and output."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgrp()
    log = os.open(output, os.O_WRONLY | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv[1:] = arguments
    main(arguments)
