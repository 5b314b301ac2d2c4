"""A range of seeds, every seed that ever failed, and the simulation's own promises.

New seeds are searched by command (`--new --minutes M`), so that a run of the suite is the same each time.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

pytestmark = pytest.mark.simulation


def simulation(*arguments: str, seconds: float = 240) -> subprocess.CompletedProcess[str]:
    """Run the simulator as a process of its own, as `python -m tests.simulation` does."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def failed_seeds() -> list[int]:
    """Return the seeds that failed once."""
    lines = (HERE / "failed_seeds.txt").read_text("utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line.strip() and not line.startswith("#")]


def test_a_seed_gives_the_same_trace_twice() -> None:
    first, second = simulation("--seed", "1"), simulation("--seed", "1")

    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    assert _trace(first.stdout) == _trace(second.stdout)


def test_seeds_that_failed_once_hold() -> None:
    found = simulation("--list", *map(str, failed_seeds()))

    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]


def test_a_range_of_seeds_holds() -> None:
    found = simulation("--from", "400", "--seeds", "8")

    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]


def _trace(text: str) -> list[str]:
    """Return the lines without the last, which tells real seconds."""
    return text.splitlines()[:-1]
