"""The fork server starts `streams` commands that look and end as if they had been started by themselves."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streams.local.errors import StartError
from streams.local.forks import ForkedProcess, Forks

APP = """
import os, signal, sys, threading
from pathlib import Path
print("args", " ".join(Path("/proc/self/cmdline").read_text().split("\\0")) if Path("/proc").exists() else "")
print("threads", [one.name for one in threading.enumerate()])
print("mark", os.environ["MARK"], os.environ.get("HOME"))
if os.environ["MARK"] == "wait":
    print("waits", flush=True)
    signal.pause()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("forks")
    (made / "looked.py").write_text(APP)
    return made


@pytest.fixture(scope="module")
def forks(folder: Path) -> Iterator[Forks]:
    before = Path.cwd()
    os.chdir(folder)  # where commands find a user's packages
    with closing(Forks()) as made:
        yield made
    os.chdir(before)


def launch(forks: Forks, mark: str) -> ForkedProcess:
    """Start a command that imports the package of STREAMS_APPS, which prints what it sees."""
    return forks.launch(["schemas", "list"], {"MARK": mark, "STREAMS_APPS": "looked", "PATH": os.environ["PATH"]})


def rest(process: ForkedProcess) -> str:
    """Read all that still comes, up to the end."""
    with process.stdout as pipe:
        return b"".join(iter(lambda: pipe.read(65536), b"")).decode()


def until(process: ForkedProcess, line: str) -> str:
    """Read up to a line and return all that came."""
    seen = b""
    while line.encode() not in seen:
        part = process.stdout.read(65536)
        assert part, seen
        seen += part
    return seen.decode()


def test_a_fork_has_its_own_command_line_environment_and_status(forks: Forks) -> None:
    process = launch(forks, "one")
    text = rest(process)
    assert process.wait(60) == 0
    if sys.platform == "linux":
        assert "streams schemas list" in text
    assert "mark one None" in text
    assert "run.submitted" in text


def test_what_a_fork_imports_is_not_in_the_next_one(forks: Forks, folder: Path) -> None:
    (folder / "looked.py").write_text(APP + "\nprint('edited')\n")
    process = launch(forks, "two")
    assert "edited" in rest(process)
    assert process.wait(60) == 0


def test_the_failure_of_a_command_is_its_status(forks: Forks) -> None:
    process = forks.launch(["worker", "--port", "x"], {"PATH": ""})
    assert process.wait(60) == 2
    assert "--port" in rest(process)


def test_a_signal_ends_a_fork_and_is_its_status(forks: Forks) -> None:
    process = launch(forks, "wait")
    until(process, "waits")
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM
    rest(process)
    process.send_signal(signal.SIGTERM)  # of a process that has ended: nothing happens


def test_forks_end_with_their_server_and_the_next_one_has_a_new_server(forks: Forks) -> None:
    process = launch(forks, "wait")
    until(process, "waits")
    os.kill(int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    rest(process)  # it ends with the last process that can write to the pipe
    _gone(process.pid)
    again = launch(forks, "three")
    rest(again)
    assert again.wait(120) == 0


def test_a_server_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.local.forks.SERVER", "streams.no_such_module")
    with closing(Forks()) as broken, pytest.raises(StartError, match=r"has ended|is gone"):
        broken.launch(["schemas", "list"], {})
    assert all(thread.name != "forks" or not thread.is_alive() or thread.daemon for thread in threading.enumerate())


def _gone(pid: int) -> None:
    waited = threading.Event()
    for _ in range(600):
        if not Path(f"/proc/{pid}").exists():
            return
        waited.wait(0.1)
    raise AssertionError(f"process {pid} lives on")
