"""The producer against a real broker: acknowledged means on the log, and no acknowledgement is an error in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from schemas.attributes import Attributes
from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.run import RunSubmitted
from schemas.webhook import WebhookReceived
from tests.faults.rig.waiting import PATIENCE_S
from topics import Topic
from topics.admin import apply, plan
from topics.catalogue import WEBHOOK_BYTES
from topics.errors import EventTooLargeError, NotAcknowledged, TopicError
from topics.kafka import KafkaConfig
from topics.partition import partition_of
from topics.producer import EventProducer
from topics.reader import read

CODEC = Codec(FileRegistry())
TIME = 1_795_549_568_123


@pytest.fixture
def topic(bootstrap: str, prefix: str) -> str:
    """Return a topic of four partitions that takes large records."""
    name = f"{prefix}.events"
    wanted = [Topic(name, "x", config={"max.message.bytes": str(WEBHOOK_BYTES)}, partitions=4)]
    apply(KafkaConfig(bootstrap), plan({}, wanted, partitions=4))
    return name


@pytest.fixture
async def producer(bootstrap: str) -> AsyncIterator[EventProducer]:
    """Return a producer, closed at the end."""
    patience_ms = int(PATIENCE_S * 1000)  # how long is another test's question
    made = EventProducer(KafkaConfig(bootstrap), CODEC, "/tests", now_ms=lambda: TIME, message_timeout_ms=patience_ms)
    await made.start()
    yield made
    await made.close()


async def test_what_is_acknowledged_lies_where_the_acknowledgement_says(
    producer: EventProducer, topic: str, bootstrap: str
) -> None:
    event = RunSubmitted(run_id="run-1", agent="a", input={"x": [1, None]})
    ack = await producer.send(topic, event, id="event-1", headers={"pool": "p"}, traceparent="00-a-b-01")
    assert ack.partition == partition_of(b"run-1", 4)
    (record,) = read(KafkaConfig(bootstrap), topic)
    assert (record.partition, record.offset, record.key) == (ack.partition, ack.offset, b"run-1")
    assert CODEC.decode(record.value, RunSubmitted) == event
    assert Attributes.from_headers(record.headers) == Attributes(
        "event-1", "run.submitted", "/tests", TIME, "00-a-b-01", {"pool": "p"}
    )


async def test_many_at_once_are_all_acknowledged_on_the_partitions_that_java_would_choose(
    producer: EventProducer, topic: str, bootstrap: str
) -> None:
    events = [RunSubmitted(run_id=f"run-{number}", agent="a") for number in range(300)]
    acks = await asyncio.gather(*[producer.send(topic, event) for event in events])
    assert len({(ack.partition, ack.offset) for ack in acks}) == 300
    assert len({ack.id for ack in acks}) == 300
    records = list(read(KafkaConfig(bootstrap), topic))
    assert all(record.partition == partition_of(record.key or b"", 4) for record in records)
    assert {record.key for record in records} == {event.run_id.encode() for event in events}


async def test_a_key_can_be_given_and_a_body_of_25_mib_passes(
    producer: EventProducer, topic: str, bootstrap: str
) -> None:
    body = bytes(25 * 1024 * 1024)
    ack = await producer.send(topic, WebhookReceived(source="s", delivery_id="d", body=body), key="other")
    (record,) = read(KafkaConfig(bootstrap), topic, partitions=[ack.partition])
    assert record.key == b"other"
    assert CODEC.decode(record.value, WebhookReceived).body == body


async def test_a_record_over_the_topics_size_is_refused_and_the_next_one_passes(
    producer: EventProducer, bootstrap: str, prefix: str
) -> None:
    name = f"{prefix}.small"
    apply(KafkaConfig(bootstrap), plan({}, [Topic(name, "x", partitions=1)], partitions=1))
    with pytest.raises(EventTooLargeError, match=name):
        await producer.send_raw(name, bytes(2 * 1024 * 1024))
    assert await producer.send_raw(name, b"small") == (0, 0)


async def test_a_topic_that_does_not_exist_is_named(producer: EventProducer, prefix: str) -> None:
    with pytest.raises(TopicError, match=f"{prefix}.none does not exist"):
        await producer.send_raw(f"{prefix}.none", b"x")


async def test_a_dead_broker_is_an_error_in_time_and_not_for_ever() -> None:
    producer = EventProducer(KafkaConfig("127.0.0.1:1"), CODEC, "/tests", now_ms=lambda: TIME, message_timeout_ms=500)
    with pytest.raises(NotAcknowledged, match=r"not acknowledged within 0\.5 s"):
        async with asyncio.timeout(PATIENCE_S):
            await producer.send("events", RunSubmitted(run_id="r", agent="a"))
    await producer.close()


async def test_a_sender_that_gave_up_disturbs_nobody(producer: EventProducer, topic: str) -> None:
    waiting = asyncio.gather(producer.send_raw(topic, b"x"), return_exceptions=True)
    waiting.cancel()
    assert (await producer.send_raw(topic, b"y", partition=2))[0] == 2


async def test_a_closed_producer_says_so(producer: EventProducer, topic: str) -> None:
    await producer.send_raw(topic, b"x")
    await producer.close()
    with pytest.raises(TopicError, match="closed"):
        await producer.send_raw(topic, b"x")
