"""What counts as an acknowledgement: the library's word for success, and the place of the record with it."""

from __future__ import annotations

import asyncio

import pytest

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from topics import producer as module
from topics.errors import NotAcknowledged
from topics.kafka import KafkaConfig
from topics.producer import EventProducer


class Delivered:
    """A record as the library reports it."""

    def __init__(self, offset: int | None) -> None:
        self._offset = offset

    def partition(self) -> int:
        return 1

    def offset(self) -> int | None:
        return self._offset


async def test_a_success_without_a_place_is_no_acknowledgement() -> None:
    """Seen on new topics under load: reported as written, with no offset, and not on the log."""
    producer = EventProducer(KafkaConfig("127.0.0.1:1"), Codec(FileRegistry()), "/tests", now_ms=lambda: 1)

    async def answered(offset: int | None) -> tuple[int, int]:
        delivery = module._Delivery(asyncio.get_running_loop().create_future(), producer._served)
        delivery.noted(None, Delivered(offset))  # type: ignore[arg-type]
        producer._wake()
        return await producer.wait("events", delivery)

    assert await answered(0) == (1, 0)
    with pytest.raises(NotAcknowledged, match="send it again"):
        await answered(None)
