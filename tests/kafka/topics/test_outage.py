"""A broker of its own that is killed and comes back: an error in time, then the same producer goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from streams.local.kafka import EmbeddedKafka
from streams.settings import cache_home
from tests.faults.rig.waiting import PATIENCE_S
from topics import Topic
from topics.admin import apply, plan
from topics.errors import NotAcknowledged
from topics.kafka import KafkaConfig
from topics.producer import EventProducer
from topics.reader import read


async def test_a_producer_outlives_its_broker(tmp_path: Path) -> None:
    broker = EmbeddedKafka(tmp_path, cache_home())
    config = KafkaConfig(broker.start())
    broker.wait_ready()
    try:
        apply(config, plan({}, [Topic("a", "x", partitions=1)], partitions=1))
        producer = EventProducer(config, Codec(FileRegistry()), "/tests", now_ms=lambda: 1, message_timeout_ms=1500)
        assert (await acknowledged(producer, b"before"))[0] == 0  # a new broker may take longer than the producer waits
        broker.kill()
        with pytest.raises(NotAcknowledged, match=r"within 1\.5 s"):
            async with asyncio.timeout(PATIENCE_S):
                await producer.send_raw("a", b"lost")
        assert broker.start() == config.bootstrap_servers
        async with asyncio.timeout(PATIENCE_S):
            assert (await acknowledged(producer, b"after"))[0] == 0
        await producer.close()
        assert [record.value for record in read(config, "a") if record.value != b"lost"][-1] == b"after"
    finally:
        broker.kill()


async def acknowledged(producer: EventProducer, value: bytes) -> tuple[int, int]:
    """Send until the broker answers again, as a client does after a 503."""
    while True:
        try:
            return await producer.send_raw("a", value)
        except NotAcknowledged:
            continue
