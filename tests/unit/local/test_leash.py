"""A process on a leash ends with its parent, and not before."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from streams.local.spawn import LEASH, spawn

SLEEPER = "import signal; print('up', flush=True); signal.pause()"


def gone(process: int, within: float = 60.0) -> bool:
    """Tell whether the process ends in time; waits for the event, not for a while."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], within)[0])
    finally:
        os.close(descriptor)


def parent_of_a_sleeper() -> tuple[subprocess.Popen[bytes], int]:
    """Start a process that starts a sleeper through `spawn`; return it and the sleeper's id."""
    code = textwrap.dedent(f"""
        import subprocess, sys, threading
        from streams.local.spawn import spawn
        child = spawn([sys.executable, "-c", {SLEEPER!r}], output=subprocess.PIPE)
        assert child.stdout.readline() == b"up\\n"
        print(child.pid, flush=True)
        threading.Event().wait()
    """)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_dies_with_its_parent(number: signal.Signals) -> None:
    parent, child = parent_of_a_sleeper()
    with parent:
        parent.send_signal(number)
    assert gone(child)


def test_a_child_outlives_the_thread_that_asked_for_it() -> None:
    """Linux ties children to threads, so the thread that starts them must be one that stays."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        started.append(spawn([sys.executable, "-c", SLEEPER], output=subprocess.PIPE))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    with started[0] as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        assert child.poll() is None
        child.kill()


def test_the_command_keeps_the_id_that_we_know() -> None:
    with spawn([sys.executable, "-c", "import os; print(os.getpid())"], output=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert int(child.stdout.readline()) == child.pid


def test_a_command_whose_parent_is_already_gone_does_not_start() -> None:
    stranger = subprocess.run(
        [sys.executable, str(LEASH), "1", sys.executable, "-c", "print('started')"], capture_output=True, check=False
    )
    assert (stranger.returncode, stranger.stdout) == (1, b"")


def sleeper() -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


def watch(parent: int, child: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(LEASH), "--watch", str(parent), str(child)])


def test_the_watcher_kills_the_child_when_the_parent_ends() -> None:
    """Systems without Linux's parent-death signal have a second process that waits for the first end."""
    with sleeper() as parent, sleeper() as child, watch(parent.pid, child.pid) as watcher:
        parent.kill()
        parent.wait(60)
        assert child.wait(60) == -signal.SIGKILL
        assert watcher.wait(60) == 0


def test_the_watcher_leaves_with_the_child() -> None:
    with sleeper() as parent, sleeper() as child, watch(parent.pid, child.pid) as watcher:
        child.kill()
        child.wait(60)
        assert watcher.wait(60) == 0
        assert parent.poll() is None
        parent.kill()
