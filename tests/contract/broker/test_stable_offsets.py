"""What a successor sees of a predecessor's open transaction: the order of a restore rests on it."""

from __future__ import annotations

import pytest
from confluent_kafka import IsolationLevel, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from streams.runtime import client_config
from streams.runtime import cluster_check as startup
from streams.runtime.errors import ClusterUnfitError
from tests.contract.broker._cluster import committed, make_topics, reader, transactional


def test_a_pending_offset_is_waited_for_and_only_on_its_own_partition(bootstrap: str, prefix: str) -> None:
    make_topics(bootstrap, prefix)
    producer = transactional(bootstrap, f"{prefix}.t")
    with reader(bootstrap, f"{prefix}.g") as handle:
        producer.begin_transaction()
        metadata = handle.consumer_group_metadata()
        producer.send_offsets_to_transaction([TopicPartition(prefix, 1, 5)], metadata, 60)
        assert committed(handle, prefix, 1, 0.5) is None
        assert committed(handle, prefix, 2, 60) == -1001  # nothing committed, and nothing pending
        producer.commit_transaction(60)
        assert committed(handle, prefix, 1, 60) == 5


def test_an_aborted_offset_leaves_the_one_before(bootstrap: str, prefix: str) -> None:
    make_topics(bootstrap, prefix)
    producer = transactional(bootstrap, f"{prefix}.t")
    with reader(bootstrap, f"{prefix}.g") as handle:
        metadata = handle.consumer_group_metadata()
        for offset, end in ((5, producer.commit_transaction), (9, producer.abort_transaction)):
            producer.begin_transaction()
            producer.send_offsets_to_transaction([TopicPartition(prefix, 1, offset)], metadata, 60)
            end(60)
        assert committed(handle, prefix, 1, 60) == 5


def test_a_handle_that_reads_uncommitted_does_not_wait(bootstrap: str, prefix: str) -> None:
    """So restore must ask with a read_committed handle."""
    make_topics(bootstrap, prefix)
    producer = transactional(bootstrap, f"{prefix}.t")
    with reader(bootstrap, f"{prefix}.g", **{"isolation.level": "read_uncommitted"}) as handle:
        producer.begin_transaction()
        metadata = handle.consumer_group_metadata()
        producer.send_offsets_to_transaction([TopicPartition(prefix, 1, 5)], metadata, 60)
        assert committed(handle, prefix, 1, 60) == -1001
        producer.abort_transaction(60)


def test_the_end_that_a_committed_reader_sees_lies_before_what_is_open(bootstrap: str, prefix: str) -> None:
    """So the end of a restore is asked for uncommitted, and an end-of-partition before it is not the end."""
    make_topics(bootstrap, prefix)
    place = TopicPartition(prefix, 0, 0)
    producer = transactional(bootstrap, f"{prefix}.t")
    producer.begin_transaction()
    producer.produce(prefix, b"open", partition=0)
    producer.flush(60)
    with reader(bootstrap, f"{prefix}.g") as handle:
        assert handle.get_watermark_offsets(place, 60) == (0, 0)
        assert high(bootstrap, prefix) == 1
        handle.assign([place])
        event = handle.poll(60)
        assert event is not None
        assert event.error() is not None
        assert event.error().code() == KafkaError._PARTITION_EOF  # type: ignore[union-attr]
        assert event.offset() == 0
        producer.commit_transaction(60)
        message = handle.poll(60)
        assert message is not None
        assert (message.value(), message.offset()) == (b"open", 0)
        event = handle.poll(60)
        assert event is not None
        assert event.offset() == 2  # behind the marker, which is no message
    assert high(bootstrap, prefix) == 2


def high(bootstrap: str, topic: str) -> int:
    """Return the high watermark of partition 0."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    place = TopicPartition(topic, 0)
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    futures = admin.list_offsets({place: latest}, isolation_level=IsolationLevel.READ_UNCOMMITTED)
    return int(futures[place].result(60).offset)


def test_the_start_up_probe_finds_this_broker_fit(bootstrap: str, prefix: str) -> None:
    make_topics(bootstrap, prefix)
    startup.probe({"bootstrap.servers": bootstrap}, prefix, prefix, 0, "a")


def test_the_start_up_probe_refuses_a_broker_that_tells_pending_offsets(
    bootstrap: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen through a handle for which this broker behaves as an old one does."""
    make_topics(bootstrap, prefix)
    usual = client_config.reader
    monkeypatch.setattr(
        client_config, "reader", lambda client, group: usual(client, group) | {"isolation.level": "read_uncommitted"}
    )
    with pytest.raises(ClusterUnfitError, match=r"Apache Kafka 4\.0 or newer.*still open"):
        startup.probe({"bootstrap.servers": bootstrap}, prefix, prefix, 0, "a")
