"""A pipeline of the agents with keys and pools, on two workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from streams.local.kafka import EmbeddedKafka
from tests.faults.rig import pipeline as rig
from tests.faults.rig.pipeline import Pipeline


@pytest.fixture(scope="module", autouse=True)
def app() -> Iterator[None]:
    """Let pipelines of this folder serve the agents of `tests.apps.queues`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rig, "APP", "tests.apps.queues")
        yield


@pytest_asyncio.fixture
async def pipeline(kafka: EmbeddedKafka, tmp_path: Path, app: None) -> AsyncIterator[Pipeline]:
    """Return a pipeline of the test's own, without workers."""
    async with Pipeline(kafka.bootstrap, tmp_path) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory, app: None) -> AsyncIterator[Pipeline]:
    """Return a pipeline with two workers, which must survive all that the module does to them."""
    async with Pipeline(kafka.bootstrap, tmp_path_factory.mktemp("queues")) as made:
        await asyncio.gather(made.running("a"), made.running("b"))
        yield made
        assert not any(worker.ended for worker in made.workers)
