"""Transactions: what readers see, what the states allow, what is abortable."""

from __future__ import annotations

import pytest
from confluent_kafka import IsolationLevel, KafkaError, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from tests.contract.kafka_semantics._world import (
    ANSWER_S,
    World,
    failure_of,
    make_topic,
    open_transactions,
    read_all,
    reader,
    transactional,
)


def test_committed_records_are_read_and_aborted_ones_are_not(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    producer = transactional(world, prefix)
    for value, commit in ((b"a", True), (b"b", False), (b"c", True)):
        producer.begin_transaction()
        producer.produce(topic, value, b"k", 0)
        producer.flush(ANSWER_S)
        producer.commit_transaction(ANSWER_S) if commit else producer.abort_transaction(ANSWER_S)
    assert read_all(world, topic) == ([(0, b"a"), (4, b"c")], 6)
    assert read_all(world, topic, isolation_level="read_uncommitted") == ([(0, b"a"), (2, b"b"), (4, b"c")], 6)


def test_records_behind_an_open_transaction_wait_for_its_end(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    producer = transactional(world, prefix)
    producer.begin_transaction()
    producer.produce(topic, b"open", b"k", 0)
    producer.flush(ANSWER_S)
    plain = world.producer(enable_idempotence=True)
    plain.produce(topic, b"plain", b"k", 0)
    plain.flush(ANSWER_S)
    assert read_all(world, topic) == ([], 0)
    consumer = reader(world)
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), ANSWER_S) == (0, 0)
    assert end(world, topic, IsolationLevel.READ_UNCOMMITTED) == 2
    assert end(world, topic, IsolationLevel.READ_COMMITTED) == 0
    producer.abort_transaction(ANSWER_S)
    assert read_all(world, topic)[0] in ([(1, b"plain")], [])  # the marker follows the answer
    assert eventually(world, topic) == ([(1, b"plain")], 3)


def end(world: World, topic: str, isolation: IsolationLevel, partition: int = 0) -> int:
    place = TopicPartition(topic, partition)
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    admin = world.admin()
    return int(admin.list_offsets({place: latest}, isolation_level=isolation)[place].result(ANSWER_S).offset)


def eventually(world: World, topic: str, partition: int = 0) -> tuple[list[tuple[int, object]], int]:
    """Return what is read once no transaction is open."""
    limit = world.now() + ANSWER_S
    while world.now() < limit:
        high = end(world, topic, IsolationLevel.READ_UNCOMMITTED, partition)
        if end(world, topic, IsolationLevel.READ_COMMITTED, partition) == high:
            return read_all(world, topic, partition)
    raise AssertionError("a transaction stays open")


def test_a_transaction_without_records_leaves_nothing(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    producer = transactional(world, prefix)
    for finish in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        finish(ANSWER_S)
    assert read_all(world, topic) == ([], 0)


@pytest.mark.parametrize("call", ["commit_transaction", "abort_transaction", "begin_twice", "produce", "send_offsets"])
def test_a_call_that_the_state_does_not_allow_says_so(world: World, prefix: str, call: str) -> None:
    topic = make_topic(world, prefix)
    producer = transactional(world, prefix)
    metadata = reader(world, prefix).consumer_group_metadata()
    calls = {
        "commit_transaction": lambda: producer.commit_transaction(ANSWER_S),
        "abort_transaction": lambda: producer.abort_transaction(ANSWER_S),
        "begin_twice": lambda: (producer.begin_transaction(), producer.begin_transaction()),
        "produce": lambda: producer.produce(topic, b"v", partition=0),
        "send_offsets": lambda: producer.send_offsets_to_transaction([TopicPartition(topic, 0, 1)], metadata, ANSWER_S),
    }
    error = failure_of(calls[call])
    assert (error.code(), error.fatal(), error.retriable(), error.txn_requires_abort()) == (
        KafkaError._STATE,
        False,
        False,
        False,
    )


def test_no_transaction_begins_before_they_are_opened(world: World, prefix: str) -> None:
    producer = world.producer(transactional_id=prefix)
    assert failure_of(producer.begin_transaction).code() == KafkaError._STATE
    open_transactions(world, producer)
    producer.begin_transaction()
    producer.commit_transaction(ANSWER_S)


def test_a_refused_record_makes_the_transaction_abortable(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix, max_message_bytes=2000)
    producer = transactional(world, prefix)
    producer.begin_transaction()
    producer.produce(topic, b"fits", b"k", 0)
    producer.flush(ANSWER_S)
    producer.produce(topic, b"x" * 3000, b"k", 0)
    error = failure_of(lambda: producer.commit_transaction(ANSWER_S))
    assert error.txn_requires_abort()
    assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert failure_of(lambda: producer.produce(topic, b"v", partition=0)).code() == KafkaError._STATE
    producer.abort_transaction(ANSWER_S)
    producer.begin_transaction()
    producer.produce(topic, b"next", b"k", 0)
    gap = failure_of(lambda: producer.commit_transaction(ANSWER_S))
    assert (gap.code(), gap.txn_requires_abort()) == (KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, True)
    producer.abort_transaction(ANSWER_S)  # this one takes a new epoch
    producer.begin_transaction()
    producer.produce(topic, b"last", b"k", 0)
    producer.commit_transaction(ANSWER_S)
    assert [value for _, value in eventually(world, topic)[0]] == [b"last"]


def test_an_end_that_was_not_waited_for_is_resumed_by_the_same_call_only(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    producer = transactional(world, prefix)
    producer.begin_transaction()
    producer.produce(topic, b"v", b"k", 0)
    error = failure_of(lambda: producer.commit_transaction(0))
    assert (error.code(), error.retriable()) == (KafkaError._TIMED_OUT, True)
    other = failure_of(lambda: producer.abort_transaction(ANSWER_S))
    assert (other.code(), other.retriable()) == (KafkaError._CONFLICT, True)
    producer.commit_transaction(ANSWER_S)
    assert eventually(world, topic) == ([(0, b"v")], 2)


def test_reports_run_within_the_commit(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    producer = transactional(world, prefix)
    found: list[int] = []
    producer.begin_transaction()
    producer.produce(topic, b"v", b"k", 0, on_delivery=lambda _, message: found.append(message.offset()))
    producer.commit_transaction(ANSWER_S)
    assert found == [0]
    assert len(producer) == 0


def test_an_abort_drops_what_was_not_sent(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    producer = transactional(world, prefix, batch_size=1000)
    found: list[int | None] = []
    producer.begin_transaction()
    producer.produce(topic, b"v", b"k", 0, on_delivery=lambda error, _: found.append(error and error.code()))
    producer.abort_transaction(ANSWER_S)
    assert found in ([None], [KafkaError._PURGE_QUEUE])
    assert eventually(world, topic)[0] == []


def test_offsets_of_a_transaction_count_with_its_commit(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix, 3)
    producer, handle = transactional(world, prefix), reader(world, prefix)
    metadata = handle.consumer_group_metadata()
    handle.committed([TopicPartition(topic, 0)], ANSWER_S)  # makes the coordinator's topic
    producer.begin_transaction()
    producer.send_offsets_to_transaction([TopicPartition(topic, 1, 5, "note")], metadata, ANSWER_S)
    pending = failure_of(lambda: handle.committed([TopicPartition(topic, 1)], 0.5))
    assert pending.code() == KafkaError._TIMED_OUT
    assert handle.committed([TopicPartition(topic, 2)], ANSWER_S)[0].offset == -1001
    careless = reader(world, prefix, isolation_level="read_uncommitted")
    assert careless.committed([TopicPartition(topic, 1)], ANSWER_S)[0].offset == -1001
    producer.commit_transaction(ANSWER_S)
    found = handle.committed([TopicPartition(topic, 1)], ANSWER_S)[0]
    assert (found.offset, found.metadata) == (5, "note")
    producer.begin_transaction()
    producer.send_offsets_to_transaction([TopicPartition(topic, 1, 9)], metadata, ANSWER_S)
    producer.abort_transaction(ANSWER_S)
    assert handle.committed([TopicPartition(topic, 1)], ANSWER_S)[0].offset == 5
