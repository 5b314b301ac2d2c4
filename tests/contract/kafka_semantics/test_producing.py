"""Records and their delivery reports."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, TopicPartition

from tests.contract.kafka_semantics._world import ANSWER_S, World, failure_of, make_topic, read_all, reader
from topics.partition import partition_of

Reports = list[tuple[int | None, int | None, int | None]]


def collector(found: Reports) -> Any:
    def report(error: KafkaError | None, message: Any) -> None:
        found.append((None if error is None else error.code(), message.partition(), message.offset()))

    return report


def test_records_lie_in_their_order_and_reports_say_where(world: World, prefix: str) -> None:
    topic, found = make_topic(world, prefix, 2), Reports()
    producer = world.producer(enable_idempotence=True)
    for number in range(5):
        producer.produce(topic, str(number).encode(), b"k", 1, on_delivery=collector(found))
    assert len(producer) == 5
    assert producer.flush(ANSWER_S) == 0
    assert found == [(None, 1, offset) for offset in range(5)]
    assert read_all(world, topic, 1) == ([(number, str(number).encode()) for number in range(5)], 5)
    assert read_all(world, topic, 0) == ([], 0)


def test_a_key_has_the_partition_of_the_java_client(world: World, prefix: str) -> None:
    topic, found = make_topic(world, prefix, 4), Reports()
    producer = world.producer(partitioner="murmur2_random")
    keys = (b"a", b"b", b"order-17", b"")
    for key in keys:
        producer.produce(topic, b"v", key, on_delivery=collector(found))
        producer.flush(ANSWER_S)
    assert [partition for _, partition, _ in found] == [partition_of(key, 4) for key in keys]


def test_a_record_keeps_its_key_value_headers_and_time(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    producer = world.producer()
    producer.produce(topic, None, b"k", 0, timestamp=1_700_000_000_123, headers=[("a", b"1"), ("a", None), ("b", b"")])
    producer.flush(ANSWER_S)
    consumer = reader(world)
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(ANSWER_S)
    assert (message.key(), message.value()) == (b"k", None)
    assert message.headers() == [("a", b"1"), ("a", None), ("b", b"")]
    assert message.timestamp() == (1, 1_700_000_000_123)


def test_a_record_that_the_topic_does_not_take_fails_alone(world: World, prefix: str) -> None:
    topic, found = make_topic(world, prefix, max_message_bytes=2000), Reports()
    producer = world.producer(enable_idempotence=True, linger_ms=0)
    for value in (b"small", b"x" * 3000, b"after"):
        producer.produce(topic, value, b"k", 0, on_delivery=collector(found))
        producer.flush(ANSWER_S)
    assert [code for code, _, _ in found] == [None, KafkaError.MSG_SIZE_TOO_LARGE, None]
    assert [value for _, value in read_all(world, topic)[0]] == [b"small", b"after"]


def test_a_record_above_the_limit_of_the_client_is_refused_at_once(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    producer = world.producer(message_max_bytes=10_000)
    error = failure_of(lambda: producer.produce(topic, b"x" * 20_000))
    assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE


def test_a_compacted_topic_takes_no_record_without_a_key(world: World, prefix: str) -> None:
    topic, found = make_topic(world, prefix, cleanup_policy="compact"), Reports()
    producer = world.producer(enable_idempotence=True)
    producer.produce(topic, b"v", None, 0, on_delivery=collector(found))
    producer.flush(ANSWER_S)
    assert [code for code, _, _ in found] == [KafkaError.INVALID_RECORD]


def test_a_record_from_the_future_is_refused(world: World, prefix: str) -> None:
    topic, found = make_topic(world, prefix), Reports()
    producer = world.producer(enable_idempotence=True)
    producer.produce(topic, b"v", b"k", 0, timestamp=4_000_000_000_000, on_delivery=collector(found))
    producer.flush(ANSWER_S)
    assert [code for code, _, _ in found] == [KafkaError.INVALID_TIMESTAMP]


def test_a_topic_that_does_not_exist_fails_the_record(world: World, prefix: str) -> None:
    found = Reports()
    producer = world.producer(topic_metadata_propagation_max_ms=500)
    producer.produce(f"{prefix}.missing", b"v", on_delivery=collector(found))
    assert producer.flush(ANSWER_S) == 0
    assert [code for code, _, _ in found] == [KafkaError.UNKNOWN_TOPIC_OR_PART]


def test_a_partition_that_does_not_exist_fails_the_record(world: World, prefix: str) -> None:
    topic, found = make_topic(world, prefix), Reports()
    producer = world.producer()
    producer.produce(topic, b"v", partition=7, on_delivery=collector(found))
    assert producer.flush(ANSWER_S) == 0
    assert [code for code, _, _ in found] == [KafkaError._UNKNOWN_PARTITION]
    error = failure_of(lambda: producer.produce(topic, b"v", partition=7))
    assert error.code() == KafkaError._UNKNOWN_PARTITION


def test_what_is_purged_before_it_was_sent_says_so(world: World, prefix: str) -> None:
    topic, found = make_topic(world, prefix), Reports()
    producer = world.producer(linger_ms=5000)
    producer.produce(topic, b"v", partition=0, on_delivery=collector(found))
    producer.purge()
    producer.flush(ANSWER_S)
    assert [code for code, _, _ in found] == [KafkaError._PURGE_QUEUE]
    assert read_all(world, topic) == ([], 0)


def test_flush_says_how_much_is_left(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    producer = world.producer(linger_ms=2000)
    producer.produce(topic, b"v", partition=0)
    assert producer.flush(0) == 1
    assert producer.flush(ANSWER_S) == 0
