"""What reads text from outside can be ended: by its deadline, its memory, or its own crash."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from streams.tools._bounded_process import BoundedProcess, BoundedProcesses, bounded, in_bounded
from streams.tools.errors import LimitExceededError, QueryRefusedError

SLOW = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"


@pytest.fixture
def process() -> BoundedProcess:
    return BoundedProcess()


def test_a_job_beyond_its_time_ends_its_process_by_itself(process: BoundedProcess, tmp_path: Path) -> None:
    """SQLite is given ten minutes here, so nothing but the kernel's timer can end it."""
    (tmp_path / "empty.db").touch()
    asked = {
        "url": "sqlite:///empty.db",
        "sql": SLOW,
        "params": [],
        "limit": 1,
        "seconds": 600,
        "folder": str(tmp_path),
    }
    with pytest.raises(LimitExceededError, match=r"more than 0\.2 s"):
        process.run("query_sqlite", 0.2, {**asked, "seconds": 600}, b"")
    assert not process.alive


def test_the_next_job_has_a_new_process(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    asked = {"url": "sqlite:///empty.db", "params": [], "limit": 1, "seconds": 600, "folder": str(tmp_path)}
    with pytest.raises(LimitExceededError):
        bounded("query_sqlite", 0.2, {**asked, "sql": SLOW})
    assert bounded("query_sqlite", 20.0, {**asked, "sql": "SELECT 1 AS one"})["rows"] == [{"one": 1}]


def test_a_process_that_somebody_ended_is_replaced() -> None:
    asked = {"sql": "SELECT 1", "params": 0}
    processes = BoundedProcesses()
    assert processes.run("read_statement", 20.0, asked, b"")["sql"] == "SELECT 1"
    (idle,) = processes._idle
    idle._process.kill()
    idle._process.wait()
    assert processes.run("read_statement", 20.0, asked, b"")["sql"] == "SELECT 1"
    (other,) = processes._idle
    assert other is not idle
    other.close()


def test_a_crash_of_a_parser_is_a_failed_job(process: BoundedProcess) -> None:
    """As seen by who waits: the process is gone in the middle of its job."""
    killer = threading.Timer(0.2, process._process.kill)
    killer.start()
    with pytest.raises(LimitExceededError, match="ended with -9"):
        process.run("read_page", 60.0, {"content_type": "text/html"}, b"<p>x " * 400_000)
    killer.join()


def test_what_a_job_refuses_is_raised_as_such_and_its_process_goes_on(process: BoundedProcess) -> None:
    with pytest.raises(QueryRefusedError, match="Only queries"):
        process.run("read_statement", 20.0, {"sql": "DROP TABLE people", "params": 0}, b"")
    assert process.alive
    process.close()


def test_the_process_has_nothing_of_the_environment(process: BoundedProcess) -> None:
    """It reads what strangers wrote: keys and passwords are not where it is."""
    environment = Path(f"/proc/{process._process.pid}/environ").read_bytes()
    process.close()
    assert len(os.environ) > 2
    assert environment == b""


async def test_a_page_that_a_parser_chokes_on_leaves_the_loop_free() -> None:
    """Two megabytes whose reading takes more than twenty seconds; the loop turns meanwhile, and the page is refused."""
    turns: list[int] = []

    async def turning() -> None:
        while True:
            await asyncio.sleep(0.01)
            turns.append(1)

    await in_bounded("read_page", 20.0, {"content_type": "text/html"}, b"<p>a page as any other")
    other = asyncio.ensure_future(turning())
    with pytest.raises(LimitExceededError):
        await in_bounded("read_page", 1.0, {"content_type": "text/html"}, b"<p>x " * 400_000)
    other.cancel()
    assert len(turns) >= 10
