"""What is deleted and compacted, offsets by time, and readers whose position is gone."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from tests.contract.kafka_semantics._world import (
    ANSWER_S,
    World,
    failure_of,
    make_topic,
    messages,
    read_all,
    reader,
    transactional,
)

COMPACTED_S = 60.0


def fill(world: World, topic: str, *pairs: tuple[bytes, bytes | None], start_ms: int = 0) -> None:
    """Write records, each in a batch of its own; with `start_ms` a second apart."""
    producer = world.producer(enable_idempotence=True, linger_ms=0)
    for number, (key, value) in enumerate(pairs):
        producer.produce(topic, value, key, 0, timestamp=start_ms + 1000 * number if start_ms else 0)
        assert producer.flush(ANSWER_S) == 0


def test_deleted_records_are_gone_and_the_rest_is_read_on(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    fill(world, topic, *((b"k", bytes([number])) for number in range(5)))
    admin, place = world.admin(), TopicPartition(topic, 0, 3)
    assert admin.delete_records([place])[place].result(ANSWER_S).low_watermark == 3
    assert reader(world).get_watermark_offsets(TopicPartition(topic, 0), ANSWER_S) == (3, 5)
    assert read_all(world, topic) == ([(3, b"\x03"), (4, b"\x04")], 5)  # a position that is gone begins anew
    beyond = TopicPartition(topic, 0, 50)
    error = failure_of(lambda: admin.delete_records([beyond])[beyond].result(ANSWER_S))
    assert error.code() == KafkaError.OFFSET_OUT_OF_RANGE


def test_an_offset_is_found_by_its_time(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix, 2)
    start = 1_700_000_000_000
    fill(world, topic, (b"k", b"0"), (b"k", b"1"), (b"k", b"2"), start_ms=start)
    asked = [
        TopicPartition(topic, 0, start + 500),
        TopicPartition(topic, 0, start + 99_000),
        TopicPartition(topic, 1, 0),
    ]
    for place, expected in zip(asked, (1, -1, -1), strict=True):
        found = reader(world).offsets_for_times([place], timeout=ANSWER_S)
        assert [(one.partition, one.offset) for one in found] == [(place.partition, expected)]


def test_the_youngest_record_and_the_ends_are_found(world: World, prefix: str) -> None:
    topic, admin = make_topic(world, prefix), world.admin()
    fill(world, topic, (b"k", b"0"), (b"k", b"1"), start_ms=1_700_000_000_000)
    place = TopicPartition(topic, 0)
    specs: Any = OffsetSpec
    for spec, expected in ((specs.earliest(), 0), (specs.latest(), 2), (specs.max_timestamp(), 1)):
        assert admin.list_offsets({place: spec})[place].result(ANSWER_S).offset == expected


def test_a_reader_is_told_the_end_once_and_again_after_more(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    consumer = reader(world)
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert next(messages(world, consumer)).offset() == 0
    assert consumer.poll(0.5) is None
    fill(world, topic, (b"k", b"v"))
    found = [next(messages(world, consumer)) for _ in range(2)]
    assert [(one.error() is None, one.offset()) for one in found] == [(True, 0), (False, 1)]
    assert consumer.position([TopicPartition(topic, 0)])[0].offset == 1


def test_a_paused_partition_goes_on_where_it_was(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    fill(world, topic, *((b"k", bytes([number])) for number in range(4)))
    consumer = reader(world, enable_partition_eof=False)
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert next(messages(world, consumer)).offset() == 0
    consumer.pause([TopicPartition(topic, 0)])
    assert consumer.poll(0.5) is None
    consumer.resume([TopicPartition(topic, 0)])
    assert [next(messages(world, consumer)).offset() for _ in range(3)] == [1, 2, 3]
    consumer.seek(TopicPartition(topic, 0, 2))
    assert next(messages(world, consumer)).offset() == 2


def test_a_batch_is_waited_for_until_it_is_full(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    fill(world, topic, (b"k", b"0"), (b"k", b"1"))
    consumer = reader(world, enable_partition_eof=False)
    consumer.assign([TopicPartition(topic, 0, 0)])
    began = world.now()
    assert [one.offset() for one in consumer.consume(2, ANSWER_S)] == [0, 1]
    assert world.now() - began < ANSWER_S / 2
    began = world.now()
    assert consumer.consume(2, 0.5) == []
    assert world.now() - began >= 0.4


def test_a_topic_that_does_not_exist_leaves_its_reader_waiting(world: World, prefix: str) -> None:
    consumer = reader(world)
    assert consumer.list_topics(f"{prefix}.missing", timeout=ANSWER_S).topics[f"{prefix}.missing"].error is not None
    consumer.assign([TopicPartition(f"{prefix}.missing", 0, 0)])
    assert consumer.poll(2.0) is None
    missing = failure_of(lambda: consumer.get_watermark_offsets(TopicPartition(f"{prefix}.missing", 0), 5))
    assert missing.code() == KafkaError._UNKNOWN_PARTITION


def test_a_topic_that_is_deleted_leaves_its_reader_waiting(world: World, prefix: str) -> None:
    topic, admin = make_topic(world, prefix), world.admin()
    consumer = reader(world)
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert next(messages(world, consumer)).offset() == 0
    admin.delete_topics([topic])[topic].result(ANSWER_S)
    assert consumer.poll(3.0) is None


def test_topics_are_made_changed_and_deleted(world: World, prefix: str) -> None:
    topic, admin = make_topic(world, prefix, 2), world.admin()
    again = failure_of(lambda: admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(ANSWER_S))
    assert again.code() == KafkaError.TOPIC_ALREADY_EXISTS
    fewer = failure_of(lambda: admin.create_partitions([NewPartitions(topic, 1)])[topic].result(ANSWER_S))
    assert fewer.code() == KafkaError.INVALID_PARTITIONS
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(ANSWER_S)
    entry = ConfigEntry("retention.ms", "1234567", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(ANSWER_S)
    asked = ConfigResource(ResourceType.TOPIC, topic)
    found = admin.describe_configs([asked])[asked].result(ANSWER_S)
    assert (found["retention.ms"].value, found["cleanup.policy"].value) == ("1234567", "delete")
    admin.delete_topics([topic])[topic].result(ANSWER_S)
    gone = failure_of(lambda: admin.delete_topics([f"{topic}.other"])[f"{topic}.other"].result(ANSWER_S))
    assert gone.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_compaction_keeps_the_last_record_of_a_key_and_drops_tombstones_in_time(world: World, prefix: str) -> None:
    """The cleaner looks every fifteen seconds and leaves the active segment alone."""
    topic = make_topic(
        world,
        prefix,
        cleanup_policy="compact",
        segment_ms=500,
        min_cleanable_dirty_ratio="0.01",
        delete_retention_ms=0,
        min_compaction_lag_ms=0,
    )
    fill(world, topic, (b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None))
    producer = transactional(world, prefix)
    producer.begin_transaction()
    producer.produce(topic, b"never", b"a", 0)
    producer.flush(ANSWER_S)
    producer.abort_transaction(ANSWER_S)
    writer = world.producer(enable_idempotence=True, linger_ms=0)
    end = world.now() + COMPACTED_S
    rounds = 0
    while True:
        rounds += 1
        writer.produce(topic, str(rounds).encode(), b"tick", 0)  # closes the segment before
        writer.flush(ANSWER_S)
        found = [value for _, value in read_all(world, topic)[0]]
        if found.count(b"1") <= 1 and b"2" in found and None not in found and b"1" not in found[:1]:
            break
        assert world.now() < end, found
        writer.poll(1.0)
    assert b"never" not in found
