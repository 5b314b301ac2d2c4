"""Runs what reads text from outside (pages, statements) in processes of their own, which a deadline ends.

Python runs one thread at a time, and C code and regular expressions give way to no other: a text that makes a parser
slow in a thread would stop the event loop, and with it every run of the worker. A process can be ended at any point. It
is limited in memory and in the size of files as well, and a parser's crash is a failed call instead of a dead worker.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
from typing import Any, Final

from streams import clock
from streams.tools._threads import FunctionThreads
from streams.tools.errors import LimitExceededError, QueryRefusedError, ToolError

PROCESSES: Final = 4  # at a time; each takes some 100 MB while it has work
START_S: Final = 60.0  # for an interpreter and the libraries that read, on a busy machine
GRACE_S: Final = 5.0  # after a job's own deadline, at which its process ends itself
HEADER: Final = struct.Struct("!II")
START: Final = "import sys; sys.path[:] = {path!r}; from streams.tools._bounded_process_child import serve; serve()"
ERRORS: Final = {"QueryRefusedError": QueryRefusedError, "ToolError": ToolError}


class BoundedProcess:
    """One child process; runs one job at a time for whoever holds it."""

    def __init__(self) -> None:
        """Start the process; it gets nothing of this one's environment, which holds secrets."""
        path = [entry or os.getcwd() for entry in sys.path]  # noqa: PTH109 - what an empty entry stands for
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, with a text of our own
            [sys.executable, "-I", "-c", START.format(path=path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            start_new_session=True,  # Ctrl-C is for the worker, which ends this one by closing its pipe
        )
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        self._input, self._output = self._process.stdin, self._process.stdout
        try:
            self._receive(clock.monotonic() + START_S)
        except (OSError, EOFError) as error:
            raise ToolError(
                f"The process that reads what comes from outside did not start (it ended with {self.close()}); "
                "is there memory for it?"
            ) from error
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether it can take a job."""
        return self._process.poll() is None

    def run(self, job: str, seconds: float, arguments: dict[str, Any], body: bytes) -> Any:
        """Return what a job gives, as JSON; LimitExceededError if it took too long or too much, or crashed its process.

        Raises what the job refuses: QueryRefusedError, ToolError.
        """
        head = json.dumps({"job": job, "seconds": seconds, "arguments": arguments}).encode()
        try:
            self._input.write(HEADER.pack(len(head), len(body)) + head)
            self._input.write(body)
            self._input.flush()
            answer = self._receive(clock.monotonic() + seconds + GRACE_S)
        except (OSError, EOFError) as error:
            ended = self.close()
            if isinstance(error, TimeoutError) or ended == -signal.SIGALRM:
                raise LimitExceededError(
                    f"The input takes more than {seconds:g} s to read, so it was given up."
                ) from error
            raise LimitExceededError(f"The process that read the input ended with {ended}: it was too much.") from error
        except BaseException:
            self.close()
            raise
        if "error" in answer:
            raise ERRORS.get(answer["error"], LimitExceededError)(answer["message"])
        return answer["value"]

    def close(self) -> int:
        """End the process if it has not ended, and return how it ended: minus a signal's number, or its exit code."""
        if self._process.poll() is None and not self._output.closed:
            self._process.kill()
        self._process.wait()
        for pipe in (self._input, self._output):
            try:
                pipe.close()
            except OSError:
                continue  # what was not yet written is for nobody
        return self._process.returncode

    def _receive(self, deadline: float) -> Any:
        """Return the next answer; EOFError when the process ends before, TimeoutError at the deadline."""
        (length, _) = HEADER.unpack(self._read(HEADER.size, deadline))
        return json.loads(self._read(length, deadline))

    def _read(self, count: int, deadline: float) -> bytes:
        parts = bytearray()
        source = self._output.fileno()
        while len(parts) < count:
            ready, _, _ = select.select([source], [], [], max(0.0, deadline - clock.monotonic()))
            if not ready:
                raise TimeoutError("no answer in time")
            part = os.read(source, count - len(parts))
            if not part:
                raise EOFError("the process has ended")
            parts += part
        return bytes(parts)


class BoundedProcesses:
    """A few processes, started when they are needed and reused; the last one used is used first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[BoundedProcess] = []

    def run(self, job: str, seconds: float, arguments: dict[str, Any], body: bytes) -> Any:
        """Run a job on an idle process, or on a new one; raises as `BoundedProcess.run` does."""
        process = self._taken()
        try:
            return process.run(job, seconds, arguments, body)
        finally:
            if process.alive:
                with self._lock:
                    self._idle.append(process)

    def close(self) -> None:
        """End the processes that have nothing to do; the others end with their job, or with this process."""
        with self._lock:
            idle, self._idle[:] = list(self._idle), []
        for process in idle:
            process.close()

    def _taken(self) -> BoundedProcess:
        while True:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is None:
                return BoundedProcess()
            if process.alive:
                return process
            process.close()


_PROCESSES: Final = BoundedProcesses()
atexit.register(_PROCESSES.close)
_THREADS: Final = FunctionThreads(PROCESSES)


def bounded(job: str, seconds: float, arguments: dict[str, Any], body: bytes = b"") -> Any:
    """Run a job of `_bounded_process_child` in a process of its own and wait for it; for callers in a thread.

    Raises LimitExceededError when it takes more than `seconds` or than the memory of such a process, and what it raises
    itself.
    """
    return _PROCESSES.run(job, seconds, arguments, body)


async def in_bounded(job: str, seconds: float, arguments: dict[str, Any], body: bytes = b"") -> Any:
    """Do the same for callers in the event loop; at most four at a time, others wait for their turn."""
    return await _THREADS.run(_PROCESSES.run, job, seconds, arguments, body)
