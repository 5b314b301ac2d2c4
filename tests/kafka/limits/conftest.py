"""A pipeline of agents with limits, on two workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from streams.local.kafka import EmbeddedKafka
from tests.faults.rig import pipeline as rig
from tests.faults.rig.pipeline import Pipeline


@pytest_asyncio.fixture
async def pair(kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pipeline]:
    """Return a pipeline with two workers, which share its partitions."""
    monkeypatch.setattr(rig, "APP", "tests.apps.limits")
    async with Pipeline(kafka.bootstrap, tmp_path, partitions=8) as made:
        await asyncio.gather(made.running("a"), made.running("b"))
        yield made
