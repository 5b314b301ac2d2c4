"""Seeds and the report of fault tests: every run prints the seed that repeats it and a line for each point.

The short form is part of the usual run. The long one is `uv run pytest -n 0 -s -m faults_long tests/faults`; twenty
kills at each point and their table are `tests/faults/test_kills.py` of it. `FAULTS_SEED=<seed>` repeats a run.
`FAULTS_TABLE=<file>` names a Markdown file that gets a row after each pause or kill of a broker, while the tests run.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from streams.local.kafka import EmbeddedKafka
from tests.faults.rig.kills import Outcome
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.report import Note, Scene, Tell, add_row, scene_table, shown, table

SEED = pytest.StashKey[int]()
OUTCOMES = pytest.StashKey[list[Outcome]]()
SCENES = pytest.StashKey[list[Scene]]()


def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed, or take the one of `FAULTS_SEED`."""
    config.stash[SEED] = int(os.environ.get("FAULTS_SEED") or secrets.randbelow(1_000_000))
    config.stash[OUTCOMES] = []
    config.stash[SCENES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the report."""
    outcomes, scenes = config.stash.get(OUTCOMES, []), config.stash.get(SCENES, [])
    if outcomes or scenes:
        terminalreporter.write_line(f"faults, FAULTS_SEED={config.stash[SEED]}")
    if outcomes:
        terminalreporter.write_line(table(outcomes))
    if scenes:
        terminalreporter.write_line(scene_table(scenes))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of this run."""
    found = request.config.stash[SEED]
    print(f"FAULTS_SEED={found}")
    return found


@pytest.fixture
def outcomes(request: pytest.FixtureRequest) -> list[Outcome]:
    """Return where outcomes are collected for the report."""
    return request.config.stash[OUTCOMES]


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Return what takes a line for the report, under the test's name."""

    def told(**figures: float) -> None:
        request.config.stash[SCENES].append((request.node.name.removeprefix("test_").replace("_", " "), figures))

    return told


@pytest.fixture
def note() -> Note:
    """Return what takes a row as soon as it is known: it is printed, and appended to the file of `FAULTS_TABLE`."""

    def noted(row: Mapping[str, object]) -> None:
        print(", ".join(f"{name} {shown(value)}" for name, value in row.items()))
        if file := os.environ.get("FAULTS_TABLE"):
            add_row(Path(file), row)

    return noted


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pipeline(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pipeline]:
    """Return a pipeline without workers, one for all tests of a module."""
    async with Pipeline(kafka.bootstrap, tmp_path_factory.mktemp("faults")) as made:
        yield made
