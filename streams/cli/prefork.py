"""Forks `streams` commands from a process that has imported them already, so that a restart costs no import.

Run by `streams dev --reload` as `python -P -m streams.cli.prefork DESCRIPTOR`, a socket. A request is a line of JSON,
`{"arguments": [...], "environment": {...}}`, with a descriptor for the command's output. The answers are
`{"started": PID}` and, later, `{"ended": PID, "status": N}` (negative: the signal).

This process has one thread and no Kafka client, now and at each fork: librdkafka's threads would not be in the child.
The user's own modules are imported after the fork, anew in each command.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import os
import select
import signal
import socket
import sys
import threading
import traceback
from importlib.metadata import entry_points
from typing import Any, Final, NoReturn

import orjson
from setproctitle import setproctitle

LOADED: Final = (
    "certifi",
    "faust.assignor",
    "faust.fixups.django",
    "faust.tables.objects",
    "faust.tables.sets",
    "faust.topics",
    "faust.stores.memory",
    "faust.worker",
    "h11",
    "httpcore",
    "mode.worker",
    "schemas.avro.confluent",
    "streams.cli.log",
    "streams.gateway.serve",
    "streams.local.declare",
    "streams.model.openai_chat",
    "streams.worker.main",
    "uvicorn.lifespan.off",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
)
"""What commands import late. Nothing of the sample application: it is edited as a user's package is."""

_LINE: Final = 1 << 20


class ForkServer:
    """Starts commands on request and reports their ends, until the other end of `channel` is closed."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._rest = b""
        self._outputs: list[int] = []
        self._wake_reader, self._wake_writer = os.pipe()
        self._life_reader, self._life_writer = os.pipe()

    def serve(self) -> None:
        """Answer requests until the channel ends."""
        for end in (self._wake_reader, self._wake_writer):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started us
        signal.set_wakeup_fd(self._wake_writer)
        while True:
            ready = select.select([self._channel.fileno(), self._wake_reader], [], [])[0]
            if self._wake_reader in ready:
                os.read(self._wake_reader, 4096)
                self._report_ended()
            if self._channel.fileno() in ready and not self._receive():
                return

    def _receive(self) -> bool:
        data, outputs, _, _ = socket.recv_fds(self._channel, _LINE, 1)
        if not data:
            return False
        self._outputs += outputs
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            request, output = orjson.loads(line), self._outputs.pop(0)
            process = os.fork()
            if process == 0:
                self._become(request, output)
            os.close(output)
            self._send({"started": process})
        return True

    def _report_ended(self) -> None:
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            self._send({"ended": process, "status": os.waitstatus_to_exitcode(status)})

    def _send(self, message: dict[str, int]) -> None:
        self._channel.sendall(orjson.dumps(message) + b"\n")

    def _become(self, request: dict[str, Any], output: int) -> NoReturn:
        """Run the command in this new process and end with its status."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._channel.close()
            for end in (self._wake_reader, self._wake_writer, self._life_writer):
                os.close(end)
            status = _run(request, output, self._life_reader)
        except BaseException:  # noqa: BLE001 - nothing may go back into the server's loop
            traceback.print_exc()
        finally:
            os._exit(status)


def _run(request: dict[str, Any], output: int, life: int) -> int:
    from streams.cli.main import main
    from streams.settings import replace_environment

    os.setpgid(0, 0)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # both are text streams of this process
    threading.Thread(target=_end_with, args=(life,), name="parent", daemon=True).start()
    replace_environment(request["environment"])
    arguments: list[str] = request["arguments"]
    setproctitle(" ".join([sys.executable, "-P", "-m", "streams", *arguments]))
    try:
        main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _end_with(life: int) -> None:
    """End this process when the other end of the pipe `life` is closed: the server has ended, however that happened."""
    os.read(life, 1)
    os.kill(os.getpid(), signal.SIGKILL)


def serve(descriptor: int) -> None:
    """Import what commands need, then serve requests on the socket `descriptor`."""
    setproctitle(" ".join(sys.orig_argv))  # finds its place while the environment is as it was at the start
    _load()
    gc.collect()
    gc.freeze()  # no collection of a child touches, and so copies, these pages
    with socket.socket(fileno=descriptor) as channel:
        ForkServer(channel).serve()


def _load() -> None:
    """Do once what each command would do for itself: imports, the command line's parser, caches of `inspect`."""
    from streams.app import discover
    from streams.cli.main import command

    for module in LOADED:
        importlib.import_module(module)
    for transport in entry_points(group="faust.transports", name="streams"):
        transport.load()
    discover(["schemas"])  # all that is built in
    command()
    inspect.getmodule(sys._getframe(), "")  # noqa: SLF001 - Faust asks for a module, which looks through all of them


if __name__ == "__main__":
    serve(int(sys.argv[1]))
