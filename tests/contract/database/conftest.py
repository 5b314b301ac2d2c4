"""One PostgreSQL for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.tools import _postgres
from tests.contract.database._cluster import Cluster, binaries, running


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a running server; where none is installed, the tests say so."""
    found = binaries()
    if found is None:
        pytest.skip("PostgreSQL is not installed: `apt install postgresql` (Debian) brings the server for these tests")
    with running(found, tmp_path_factory.mktemp("postgres") / "cluster") as made:
        yield made
        _postgres.close()
