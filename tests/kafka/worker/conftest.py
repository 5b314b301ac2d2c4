"""A pipeline with one real worker for all tests here that do not stop it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from streams.local.kafka import EmbeddedKafka
from tests.faults.rig.pipeline import Pipeline, Worker


@pytest_asyncio.fixture
async def pipeline(kafka: EmbeddedKafka, tmp_path: Path) -> AsyncIterator[Pipeline]:
    """Return a pipeline of the test's own."""
    async with Pipeline(kafka.bootstrap, tmp_path) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pipeline]:
    """Return a pipeline with one worker in slot `a`, which must survive everything that the module does to it."""
    async with Pipeline(kafka.bootstrap, tmp_path_factory.mktemp("shared")) as made:
        worker = await made.running("a")
        yield made
        assert not worker.ended, worker.words()
        assert await worker.stop() == 0, worker.words()


@pytest.fixture
def worker(shared: Pipeline) -> Worker:
    """Return the shared pipeline's worker."""
    return shared.workers[0]
