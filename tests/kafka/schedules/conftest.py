"""A pipeline whose app has schedules."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from streams.app import discover
from streams.journal.record_writer import RecordWriter
from streams.local.kafka import EmbeddedKafka
from streams.query.codec import codec_of
from tests.faults.rig.pipeline import Pipeline
from tests.kafka.schedules._sinks import Sinks

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()


class Clock(Pipeline):
    """The pipeline of `tests.apps.clock`."""

    def __init__(self, bootstrap: str, folder: Path, sinks: str | None = None) -> None:
        """Keep everything local under `folder`; `sinks` is where alerts are posted to."""
        super().__init__(bootstrap, folder)
        self.feed = folder / "feed.txt"
        self.settings = self.settings.changed(
            apps=("tests.apps.clock", "streams.schedules"), data_sources=(str(self.feed),)
        )
        if sinks is not None:
            self.settings = self.settings.changed(
                alert_webhook=SecretStr(f"{sinks}/hook"),
                alert_webhook_secret=SecretStr(SECRET),
                alert_slack=SecretStr(f"{sinks}/slack"),
                llm_base_url=f"{sinks}/v1",
                llm_model="none",
            )
        self.catalog = discover(self.settings.apps)
        self.codec = codec_of(self.settings, self.catalog)
        self.writer = RecordWriter(self.names, self.codec, self.catalog.events, "default")


@pytest_asyncio.fixture
async def clock(kafka: EmbeddedKafka, tmp_path: Path) -> AsyncIterator[Clock]:
    """Return a pipeline of the test's own."""
    async with Clock(kafka.bootstrap, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def sinks() -> Iterator[Sinks]:
    """Return where the shared pipeline's alerts go."""
    with Sinks() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(kafka: EmbeddedKafka, sinks: Sinks, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Clock]:
    """Return a pipeline with one worker, which must survive the module."""
    async with Clock(kafka.bootstrap, tmp_path_factory.mktemp("clock"), sinks.url) as made:
        worker = await made.running("a")
        yield made
        assert not worker.ended, worker.words()
        assert await worker.stop() == 0, worker.words()
