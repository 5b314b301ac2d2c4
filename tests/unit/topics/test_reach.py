"""An outage is one line at its begin and one at its end, whatever the clients of the process say meanwhile."""

from __future__ import annotations

import asyncio
import threading

import pytest
from confluent_kafka import KafkaError

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from topics.errors import BrokerUnavailableError
from topics.kafka import KafkaConfig
from topics.producer import EventProducer
from topics.reach import Reach
from topics.reader import read

DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN)


def said(caplog: pytest.LogCaptureFixture, address: str) -> list[str]:
    """Return what was said of a cluster: threads of other tests in this process may say something of theirs."""
    return [line for line in (record.getMessage() for record in caplog.records) if address in line]


def test_an_outage_is_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    times = iter([100.0, 125.4])
    reach = Reach("a:1", lambda: next(times))
    reach.answered()
    for _ in range(5):
        reach.failed(DOWN)
    reach.failed(KafkaError(KafkaError._TRANSPORT))
    reach.answered()
    reach.answered()
    assert said(caplog, "a:1") == [
        "no broker of a:1 answers: waiting for it, from now on in silence",
        "the broker of a:1 is back after 25 s",
    ]


def test_one_connection_that_fails_is_no_outage(caplog: pytest.LogCaptureFixture) -> None:
    reach = Reach("a:1", lambda: 0.0)
    reach.failed(KafkaError(KafkaError._TRANSPORT))
    reach.answered()
    assert said(caplog, "a:1") == []


class Noted(Reach):
    """Lets a test wait for the first word of an outage."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1", lambda: 0.0)
        self.told = threading.Event()

    def failed(self, error: KafkaError) -> None:
        super().failed(error)
        if error.code() == DOWN.code():
            self.told.set()


def test_a_reader_of_a_cluster_that_is_away_is_made_as_any_other() -> None:
    noted = Noted()
    with pytest.raises(BrokerUnavailableError):
        next(read(KafkaConfig("127.0.0.1:1", reach=noted), "a", timeout=0.2))


async def test_a_producer_tells_that_no_broker_answers(caplog: pytest.LogCaptureFixture) -> None:
    noted = Noted()
    producer = EventProducer(KafkaConfig("127.0.0.1:1", reach=noted), Codec(FileRegistry()), "/tests", now_ms=lambda: 1)
    await producer.start()
    assert await asyncio.to_thread(noted.told.wait, 60)
    await producer.close(0)
    assert said(caplog, "127.0.0.1:1") == ["no broker of 127.0.0.1:1 answers: waiting for it, from now on in silence"]
