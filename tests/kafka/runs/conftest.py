"""A pipeline of the scenarios' agents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from streams.local.kafka import EmbeddedKafka
from tests.faults.rig import pipeline as rig
from tests.faults.rig.pipeline import Pipeline


@pytest.fixture(scope="module", autouse=True)
def app() -> Iterator[None]:
    """Let pipelines of this folder serve `tests.apps.canvas`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rig, "APP", "tests.apps.canvas")
        yield


@pytest_asyncio.fixture
async def pipeline(kafka: EmbeddedKafka, tmp_path: Path, app: None) -> AsyncIterator[Pipeline]:
    """Return a pipeline of the test's own, without workers."""
    async with Pipeline(kafka.bootstrap, tmp_path) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory, app: None) -> AsyncIterator[Pipeline]:
    """Return a pipeline with one worker, which must survive all that the module does to it."""
    async with Pipeline(kafka.bootstrap, tmp_path_factory.mktemp("scenarios")) as made:
        worker = await made.running("a")
        yield made
        assert not worker.ended, worker.words()
