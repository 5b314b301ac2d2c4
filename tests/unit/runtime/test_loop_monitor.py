"""The loop monitor ends a process whose event loop is blocked, says by which code, and leaves all others alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from streams.runtime.loop_process import send

PRELUDE = """
import asyncio, re, sys, threading, time
from streams.settings import Settings
from streams.activity import BOARD, LABEL, Watched, label
from streams.tools._threads import in_thread
from streams.runtime.loop_monitor import LoopMonitor

def catastrophe():
    re.match(r"(a+)+$", "a" * 60 + "b")

def sleeps():
    threading.Event().wait(600)

def burns():
    while True:
        pass

def sums():
    sum(range(10**13))

async def in_a_coroutine():
    await asyncio.sleep(0)
    sleeps()

def beat():
    BOARD.beat()
    asyncio.get_running_loop().call_later(0.1, beat)

async def main(work):
    settings = Settings(loop_blocked_after=1.5)
    monitor = asyncio.create_task(LoopMonitor(settings, {}, "journal", b"l/").run())
    beat()
    await asyncio.sleep(1)
    print("begins", flush=True)
    LABEL.set(label("event", 0, "e-1", "tried"))
    await work()
    print("done", flush=True)
    monitor.cancel()
    await asyncio.wait([monitor])
"""


def _run(tmp_path: Path, work: str) -> subprocess.Popen[str]:
    script = tmp_path / "blocked.py"
    script.write_text(PRELUDE + textwrap.dedent(work) + "\nasyncio.run(main(work))\n", "utf-8")
    return subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("function", ["sleeps", "burns", "catastrophe", "sums"])
def test_code_in_the_loop_is_named_with_its_line(tmp_path: Path, function: str) -> None:
    process = _run(
        tmp_path,
        f"""
        async def work():
            BOARD.during(label("event", 0, "e-1", "tried"), {function})
        """,
    )
    _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, said
    assert "blocked for 1.5 s by event e-1 of tried, at " in said
    assert f" in {function}: this worker is killed" in said
    assert "blocked.py:" in said


def test_a_coroutine_is_seen_at_each_of_its_steps(tmp_path: Path) -> None:
    process = _run(
        tmp_path,
        """
        async def work():
            await asyncio.create_task(Watched(label("event", 0, "e-2", "tried"), in_a_coroutine()))
        """,
    )
    _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, said
    assert "by event e-2 of tried" in said
    assert " in sleeps:" in said


def test_a_thread_that_keeps_the_interpreters_lock_is_the_one_to_blame(tmp_path: Path) -> None:
    process = _run(
        tmp_path,
        """
        async def work():
            await in_thread(catastrophe)
        """,
    )
    _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, said
    assert "by event e-1 of tried" in said
    assert " in catastrophe:" in said


def test_a_loop_that_turns_is_left_alone_and_the_monitor_ends_with_its_process(tmp_path: Path) -> None:
    process = _run(
        tmp_path,
        """
        async def work():
            await asyncio.gather(asyncio.sleep(3), in_thread(time.sleep, 3))
            sleeping = asyncio.create_subprocess_exec("true")
            await (await sleeping).wait()
        """,
    )
    out, said = process.communicate(timeout=60)  # which waits for the ends of all that hold the pipes
    assert (process.returncode, said) == (0, "")
    assert "done" in out


def test_a_process_that_ends_while_the_block_is_looked_at_leaves_no_error(tmp_path: Path) -> None:
    process = _run(
        tmp_path,
        """
        async def work():
            sleeps()
        """,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)  # the bound is 1.5 s, and threads are watched for a second
    process.kill()
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    assert "could not be found" not in said


def test_only_the_parent_is_signalled() -> None:
    """The id of a worker that has ended may be another process's by then."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        with pytest.raises(ProcessLookupError):
            send(other.pid, signal.SIGKILL)
        assert other.poll() is None
    assert other.returncode is not None


def test_a_process_that_is_stopped_blocks_nothing(tmp_path: Path) -> None:
    process = _run(
        tmp_path,
        """
        async def work():
            await asyncio.sleep(1)
        """,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(4)
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
