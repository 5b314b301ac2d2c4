"""One PostgreSQL for all tests here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.tools import _postgres
from tests.contract.database._cluster import Cluster, binaries, running


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Return a running server; where none is installed, the tests say so.

    Its folder is none of pytest's: each session that starts closes those to everybody but their owner, and the server
    runs as another.
    """
    found = binaries()
    if found is None:
        pytest.skip("PostgreSQL is not installed: `apt install postgresql` (Debian) brings the server for these tests")
    with (
        tempfile.TemporaryDirectory(prefix="streams-postgres-") as folder,
        running(found, Path(folder) / "cluster") as made,
    ):
        yield made
        _postgres.close()
