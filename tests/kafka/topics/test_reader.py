"""Bounded reads of a real log: by offset, time and key, and never what was not committed."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from confluent_kafka import Producer

from tests.faults.rig.waiting import PATIENCE_S
from topics import Topic
from topics.admin import apply, plan
from topics.errors import BrokerUnavailableError, TopicError
from topics.kafka import KafkaConfig
from topics.partition import partition_of
from topics.reader import RawRecord, Time, follow, offsets, read


def made(bootstrap: str, name: str, partitions: int = 1) -> KafkaConfig:
    config = KafkaConfig(bootstrap)
    apply(config, plan({}, [Topic(name, "x", partitions=partitions)], partitions=partitions))
    return config


def written(
    config: KafkaConfig, topic: str, values: Sequence[str], *, key: str | None = None, start_ms: int = 0
) -> None:
    producer = Producer(config.client(partitioner="murmur2_random"))
    for number, value in enumerate(values):
        producer.produce(topic, value.encode(), key, timestamp=start_ms + number if start_ms else 0)
    assert producer.flush(PATIENCE_S) == 0


def transaction(config: KafkaConfig, name: str) -> Producer:
    producer = Producer(config.client(transactional_id=name))
    producer.init_transactions(PATIENCE_S)  # waits for the end of the one before under this name
    producer.begin_transaction()
    return producer


def values(records: Sequence[RawRecord]) -> list[str]:
    return [(record.value or b"").decode() for record in records]


def test_offsets_bound_a_read_inclusive_and_exclusive(bootstrap: str, prefix: str) -> None:
    config = made(bootstrap, f"{prefix}.a")
    written(config, f"{prefix}.a", list("abcdef"))
    assert values(list(read(config, f"{prefix}.a", start=1, end=4))) == ["b", "c", "d"]
    assert values(list(read(config, f"{prefix}.a"))) == list("abcdef")
    assert values(list(read(config, f"{prefix}.a", limit=2))) == ["a", "b"]
    assert values(list(read(config, f"{prefix}.a", start=4, end=99))) == ["e", "f"]
    assert list(read(config, f"{prefix}.a", start=3, end=3)) == []
    assert list(read(config, f"{prefix}.a", limit=0)) == []
    assert list(read(config, f"{prefix}.a", start="latest")) == []


def test_times_bound_a_read(bootstrap: str, prefix: str) -> None:
    config, start = made(bootstrap, f"{prefix}.a"), 1_795_549_568_000
    written(config, f"{prefix}.a", list("abcdef"), start_ms=start)
    found = list(read(config, f"{prefix}.a", start=Time(start + 2), end=Time(start + 4)))
    assert values(found) == ["c", "d"]
    assert [record.timestamp for record in found] == [start + 2, start + 3]
    assert list(read(config, f"{prefix}.a", start=Time(start + 6))) == []
    assert values(list(read(config, f"{prefix}.a", end=Time(start + 99)))) == list("abcdef")


def test_one_keys_records_are_read_from_its_partition(bootstrap: str, prefix: str) -> None:
    config = made(bootstrap, f"{prefix}.a", partitions=4)
    for key in ("one", "two", "three", "four", "five"):
        written(config, f"{prefix}.a", [f"{key}-{number}" for number in range(3)], key=key)
    found = list(read(config, f"{prefix}.a", key="two"))
    assert values(found) == ["two-0", "two-1", "two-2"]
    assert {record.partition for record in found} == {partition_of(b"two", 4)}
    assert len(list(read(config, f"{prefix}.a"))) == 15


def test_offsets_of_partitions_are_told(bootstrap: str, prefix: str) -> None:
    config = made(bootstrap, f"{prefix}.a", partitions=2)
    written(config, f"{prefix}.a", ["x", "y"], key="k")
    here = partition_of(b"k", 2)
    assert offsets(config, f"{prefix}.a") == {here: 2, 1 - here: 0}
    assert offsets(config, f"{prefix}.a", "earliest", partitions=[here]) == {here: 0}


def test_aborted_records_are_never_seen_and_markers_do_not_stop_a_read(bootstrap: str, prefix: str) -> None:
    topic = f"{prefix}.a"
    config = made(bootstrap, topic)
    for value, commit in (("a", True), ("lost", False), ("b", True), ("lost too", False)):
        producer = transaction(config, prefix)
        producer.produce(topic, value.encode())
        if commit:
            producer.commit_transaction(PATIENCE_S)
        else:
            producer.flush(PATIENCE_S)
            producer.abort_transaction(PATIENCE_S)
    assert values(list(read(config, topic))) == ["a", "b"]
    assert values(list(read(config, topic, end=3))) == ["a"]


def test_an_open_transaction_ends_a_read_and_does_not_hold_it(bootstrap: str, prefix: str) -> None:
    topic = f"{prefix}.a"
    config = made(bootstrap, topic)
    written(config, topic, ["before"])
    producer = transaction(config, prefix)
    producer.produce(topic, b"open")
    producer.flush(PATIENCE_S)
    written(config, topic, ["after"])
    assert values(list(read(config, topic))) == ["before"]
    producer.commit_transaction(PATIENCE_S)
    transaction(config, prefix)  # a commit is acknowledged before its marker lies in the partition
    assert values(list(read(config, topic))) == ["before", "open", "after"]


def test_following_sees_what_comes_and_stops_when_told(bootstrap: str, prefix: str) -> None:
    topic, stop = f"{prefix}.a", threading.Event()
    config = made(bootstrap, topic)
    written(config, topic, ["old"])
    found: list[str] = []
    for record in follow(config, topic, start="earliest", stop=stop, pace=0.05):
        found.append((record.value or b"").decode())
        if found == ["old"]:
            written(config, topic, ["new"])
        else:
            stop.set()
    assert found == ["old", "new"]


def test_an_unknown_topic_is_named(bootstrap: str, prefix: str) -> None:
    with pytest.raises(TopicError, match=rf"topic {prefix}\.none does not exist"):
        list(read(KafkaConfig(bootstrap), f"{prefix}.none"))


def test_a_dead_broker_is_an_error_in_time() -> None:
    with pytest.raises(BrokerUnavailableError, match=r"no broker at 127\.0\.0\.1:1 answers"):
        list(read(KafkaConfig("127.0.0.1:1"), "a", timeout=0.5))
