"""Producers with one transactional id: the younger one fences the older one, and so does the broker's time-out."""

from __future__ import annotations

from confluent_kafka import KafkaError

from tests.contract.kafka_semantics._world import ANSWER_S, World, failure_of, make_topic, read_all, transactional
from tests.contract.kafka_semantics.test_transacting import eventually


def test_a_successor_aborts_what_was_open_and_fences(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    first = transactional(world, prefix)
    first.begin_transaction()
    first.produce(topic, b"half", b"k", 0)
    first.flush(ANSWER_S)
    second = transactional(world, prefix)
    second.begin_transaction()
    second.produce(topic, b"whole", b"k", 0)
    second.commit_transaction(ANSWER_S)
    error = failure_of(lambda: first.commit_transaction(ANSWER_S))
    assert (error.code(), error.fatal()) == (KafkaError._FENCED, True)
    assert eventually(world, topic)[0] == [(2, b"whole")]
    again = failure_of(first.begin_transaction)
    assert again.fatal()
    refused = failure_of(lambda: first.produce(topic, b"v", partition=0))
    assert refused.code() == KafkaError._FATAL


def test_a_fenced_producer_learns_it_by_its_first_record(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    first = transactional(world, prefix)
    transactional(world, prefix)
    first.begin_transaction()
    first.produce(topic, b"v", b"k", 0)
    error = failure_of(lambda: first.commit_transaction(ANSWER_S))
    assert (error.code(), error.fatal()) == (KafkaError._FENCED, True)
    assert read_all(world, topic) == ([], 0)


def test_a_transaction_that_is_open_for_too_long_is_aborted_by_the_broker(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    producer = transactional(world, prefix, transaction_timeout_ms=1000, message_timeout_ms=900)
    producer.begin_transaction()
    producer.produce(topic, b"late", b"k", 0)
    producer.flush(ANSWER_S)
    assert eventually(world, topic) == ([], 2)  # a marker follows
    error = failure_of(lambda: producer.commit_transaction(ANSWER_S))
    assert (error.code(), error.fatal()) == (KafkaError._FENCED, True)
    after = transactional(world, prefix)
    after.begin_transaction()
    after.produce(topic, b"again", b"k", 0)
    after.commit_transaction(ANSWER_S)
    assert eventually(world, topic)[0] == [(2, b"again")]
