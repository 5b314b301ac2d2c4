"""Children are restarted at once, stopped in order, and a start that cannot succeed ends with a reason."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from streams.local import supervisor as module
from streams.local.errors import StartError
from streams.local.merged_log import MergedLog
from streams.local.spawn import Process, spawn
from streams.local.supervisor import Child, Supervisor

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[2])); self.end_headers(); self.wfile.write(sys.argv[3].encode())
    def log_message(self, *args): pass
http.server.HTTPServer.allow_reuse_port = True
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("listening", flush=True)
server.serve_forever()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
PATIENT = "import signal, time; print('up', flush=True); signal.pause()"


def child(name: str, code: str, *arguments: str, ready: str | None = None, grace: float = 10, rank: int = 0) -> Child:
    return Child.of(name, [sys.executable, "-u", "-c", code, *arguments], ready=ready, grace=grace, rank=rank)


@contextmanager
def server(status: int = 200, body: str = "") -> Iterator[Child]:
    """Give a child that serves on a port that is held for it, or another process might take it between two starts."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        yield child("web", SERVER, str(port), str(status), body, ready=f"http://127.0.0.1:{port}/readyz")


async def up(supervisor: Supervisor, one: Child) -> Process:
    await supervisor.start(one)
    await supervisor.wait_ready(one)
    assert one.process is not None
    return one.process


class Noted(MergedLog):
    """A log that lets a test wait for a line."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.lines: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def line(self, name: str, text: str) -> None:
        self.lines.put_nowait((name, text))

    async def until(self, name: str, text: str) -> None:
        async with asyncio.timeout(60):
            while (found := await self.lines.get())[0] != name or text not in found[1]:
                pass


async def test_a_killed_child_is_back_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it takes to start, which is the machine's: waited for are its last words, and nothing else."""
    monkeypatch.setattr(module, "PAUSE", 3600.0)
    assert module.LAST_WORDS < 1
    log = Noted()
    with server() as one:
        await _killed(log, one)


async def _killed(log: Noted, one: Child) -> None:
    async with Supervisor(log) as supervisor:
        first = await up(supervisor, one)
        first.kill()
        await log.until("web", "signal SIGKILL")
        await log.until("web", "listening")
        await supervisor.wait_ready(one)
        assert one.process is not None
        assert one.process.pid != first.pid
        assert one.restarts == 1


async def test_a_child_that_cannot_start_is_given_up_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHORT_LIFE", 3600.0)  # on a busy machine the start alone may take two seconds
    log = Noted()
    async with Supervisor(log) as supervisor:
        broken = child("worker-0", "print('no such setting'); raise SystemExit(3)", ready="http://127.0.0.1:1/readyz")
        with pytest.raises(StartError, match="worker-0 ended 3 times"):
            await up(supervisor, broken)
    await log.until("worker-0", "no such setting")
    await log.until("worker-0", "status 3")


async def test_a_child_that_does_not_get_ready_is_given_up_with_what_it_answers() -> None:
    """And with the refused connection, while nobody answers."""
    log = Noted()
    with server(503, "connecting to the broker") as one, server() as away:
        async with Supervisor(log) as supervisor:
            await supervisor.start(one)
            await log.until("web", "listening")
            with pytest.raises(StartError, match=r"web was not ready within 1 s .*: connecting to the broker\."):
                await supervisor.wait_ready(one, 1)
            with pytest.raises(StartError, match=r"web was not ready within 0 s .*: .*[Cc]onnect"):
                await supervisor.wait_ready(away, 0)


async def test_the_highest_rank_is_stopped_first(tmp_path: Path) -> None:
    order = tmp_path / "order"
    code = (
        "import signal, sys\n"
        "def stop(*_):\n"
        "    open(sys.argv[1], 'a').write(sys.argv[2]); sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop); print('up', flush=True); signal.pause()"
    )
    log = Noted()
    async with Supervisor(log) as supervisor:
        for rank in (1, 0, 2):
            await supervisor.start(child(f"c{rank}", code, str(order), str(rank), rank=rank))
            await log.until(f"c{rank}", "up")
    assert order.read_text("utf-8") == "210"


async def test_a_child_that_will_not_stop_is_killed_after_its_grace() -> None:
    log = Noted()
    stubborn = child("stubborn", STUBBORN, grace=0.05)
    async with Supervisor(log) as supervisor:
        await supervisor.start(stubborn)
        await log.until("stubborn", "up")
    assert stubborn.process is not None
    assert stubborn.process.poll() == -signal.SIGKILL


async def test_an_error_in_the_block_stops_the_children_and_comes_out_as_it_is() -> None:
    log = Noted()
    one = child("one", PATIENT)

    async def fail() -> None:
        async with Supervisor(log) as supervisor:
            await supervisor.start(one)
            await log.until("one", "up")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert one.process is not None
    assert one.process.poll() is not None


async def test_a_cancelled_block_stops_the_children_and_stays_cancelled() -> None:
    log = Noted()
    one = child("one", PATIENT)
    started = asyncio.Event()

    async def run() -> None:
        async with Supervisor(log) as supervisor:
            await supervisor.start(one)
            await log.until("one", "up")
            started.set()
            await asyncio.Event().wait()

    task = asyncio.get_running_loop().create_task(run())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert one.process is not None
    assert one.process.poll() is not None


async def test_a_grandchild_that_holds_the_log_does_not_delay_the_restart() -> None:
    log = Noted()
    code = "import os, signal; print('up' if os.fork() else 'inner', flush=True); signal.pause()"
    async with Supervisor(log) as supervisor:
        one = child("one", code)
        await supervisor.start(one)
        await log.until("one", "up")
        assert one.process is not None
        group = one.process.pid
        one.process.kill()
        await log.until("one", "starting it again")
        os.killpg(group, signal.SIGKILL)


async def test_a_launch_that_fails_once_is_tried_again() -> None:
    log = Noted()
    calls: list[int] = []

    def launch() -> subprocess.Popen[bytes]:
        calls.append(1)
        if len(calls) == 2:
            raise StartError("not now")
        return spawn([sys.executable, "-c", PATIENT], output=subprocess.PIPE)

    async with Supervisor(log) as supervisor:
        one = Child("one", partial(launch))
        await supervisor.start(one)
        await log.until("one", "up")
        assert one.process is not None
        one.process.kill()
        await log.until("one", "not now")
        await log.until("one", "up")
        assert one.restarts == 1
