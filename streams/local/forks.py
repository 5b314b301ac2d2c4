"""Starts `streams` commands as forks of a process that has imported them: what `streams dev --reload` restarts."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from importlib.util import find_spec
from io import FileIO
from typing import TYPE_CHECKING, Final

import orjson

from streams.local.errors import LocalError, StartError
from streams.local.spawn import spawn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SERVER: Final = "streams.cli.prefork"
_STARTED_S: Final = 300.0  # for the server's own imports, on a busy machine


class ForkedProcess:
    """A command that the fork server started; offers of `subprocess.Popen` what a supervisor needs."""

    def __init__(self, pid: int, stdout: FileIO) -> None:
        self.pid = pid
        self.stdout = stdout
        self._status: int | None = None
        self._ended = threading.Event()

    def finish(self, status: int) -> None:
        """Note that the process has ended; called by the connection to its server."""
        self._status = status
        self._ended.set()

    def poll(self) -> int | None:
        """Return the status, None while the process runs."""
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Return the status once there is one; raises subprocess.TimeoutExpired."""
        if not self._ended.wait(timeout) or self._status is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return self._status

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process has ended."""
        if self._status is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """End the process at once."""
        self.send_signal(signal.SIGKILL)


class _Connection:
    """A running fork server: what it has started, and a thread that reads what it reports."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", "-m", SERVER, str(theirs.fileno())]
            self._server = spawn(command, output=2, inherit=[theirs.fileno()])
        self._pipes: queue.SimpleQueue[FileIO] = queue.SimpleQueue()
        self._started: queue.SimpleQueue[ForkedProcess | None] = queue.SimpleQueue()
        self._running: dict[int, ForkedProcess] = {}
        self.closed = threading.Event()
        threading.Thread(target=self._read, name="forks", daemon=True).start()

    def request(self, arguments: Sequence[str], environment: Mapping[str, str]) -> ForkedProcess:
        reader, writer = os.pipe()
        self._pipes.put(FileIO(reader))  # closed by who follows it
        line = orjson.dumps({"arguments": list(arguments), "environment": dict(environment)}) + b"\n"
        try:
            sent = socket.send_fds(self._channel, [line], [writer])
            self._channel.sendall(line[sent:])
        except OSError as error:
            raise StartError(f"The process that starts workers is gone ({error}).") from None
        finally:
            os.close(writer)
        try:
            process = self._started.get(timeout=_STARTED_S)
        except queue.Empty:
            raise StartError(f"No worker could be started within {_STARTED_S:.0f} s.") from None
        if process is None:
            self._started.put(None)  # for whoever asks next
            raise StartError("The process that starts workers has ended: its last lines are above.")
        return process

    def close(self) -> None:
        """Let the server end, and with it whatever of its processes still runs."""
        self._channel.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads
        self._server.kill()
        self._server.wait()
        self.closed.wait()
        self._channel.close()

    def _read(self) -> None:
        with self._channel.makefile("rb") as lines:
            try:
                for line in lines:
                    self._take_message(orjson.loads(line))
            except (OSError, ValueError):  # reset, or closed by us: as if it had ended
                pass
        for process in self._running.values():  # each ends itself as well: with this it is sure to be gone soon
            process.kill()
            process.finish(-signal.SIGKILL)
        while not self._pipes.empty():
            self._pipes.get().close()
        self.closed.set()
        self._started.put(None)

    def _take_message(self, message: dict[str, int]) -> None:
        if "started" in message:
            process = ForkedProcess(message["started"], self._pipes.get())
            self._running[process.pid] = process
            self._started.put(process)
        else:
            self._running.pop(message["ended"]).finish(message["status"])


class Forks:
    """Launches commands; the server is started with the first one and, should it end, again with the next."""

    def __init__(self) -> None:
        for needed in ("setproctitle", "watchfiles"):
            if find_spec(needed) is None:
                raise LocalError(f"--reload needs the package {needed}: install streams[local].")
        self._lock = threading.Lock()
        self._connection: _Connection | None = None

    def launch(self, arguments: Sequence[str], environment: Mapping[str, str]) -> ForkedProcess:
        """Start `streams ARGUMENTS` with that environment; blocks while the server imports. Raises LocalError."""
        with self._lock:
            if self._connection is not None and self._connection.closed.is_set():
                self._connection.close()
                self._connection = None
            if self._connection is None:
                self._connection = _Connection()
            return self._connection.request(arguments, environment)

    def close(self) -> None:
        """End the server; its commands should have ended before."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
