"""What counts as an acknowledgement: the library's word for success, and the place of the record with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from topics.errors import NotAcknowledged
from topics.kafka import KafkaConfig
from topics.producer import EventProducer


class Written:
    """A record as the library reports it: no offset where the broker took it for a repetition."""

    def __init__(self, offset: int | None) -> None:
        self._offset = offset

    def partition(self) -> int:
        return 1

    def offset(self) -> int | None:
        return self._offset


class Library:
    """A client whose broker answers each record by a script."""

    def __init__(self, producer: EventProducer, *offsets: int | None) -> None:
        self._producer = producer
        self._offsets = list(offsets)
        self.sent: list[tuple[object, ...]] = []

    def produce(self, *record: object, on_delivery: Callable[..., None], headers: object) -> None:
        self.sent.append((*record, headers))
        on_delivery(None, Written(self._offsets.pop(0)))
        asyncio.get_running_loop().call_soon(self._producer._wake)


async def sent(*offsets: int | None) -> tuple[Library, tuple[int, int]]:
    producer = EventProducer(KafkaConfig("127.0.0.1:1"), Codec(FileRegistry()), "/tests", now_ms=lambda: 1)
    producer._producer = library = Library(producer, *offsets)  # type: ignore[assignment]
    return library, await producer.send_raw("events", b"value", key=b"key", headers=[("ce_id", b"1")], partition=1)


async def test_a_success_without_a_place_is_no_acknowledgement_and_the_record_goes_again() -> None:
    """Seen on new topics under load: reported as written, with no offset, and not on the log."""
    library, place = await sent(None, 7)
    assert place == (1, 7)
    assert library.sent == [("events", b"value", b"key", 1, [("ce_id", b"1")])] * 2


async def test_a_record_that_gets_no_place_is_told_to_the_sender() -> None:
    with pytest.raises(NotAcknowledged, match="send it again"):
        await sent(None, None, None)
