"""Requests and answers that get lost, links that are cut, and what clients make of it."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.unit.simulated_kafka._setting import Setting


def reports() -> tuple[list[tuple[int | None, int | None]], Any]:
    """Return a list of error codes and offsets, and the callback that fills it."""
    found: list[tuple[int | None, int | None]] = []
    return found, lambda error, message: found.append((error and error.code(), message.offset()))


def test_a_lost_answer_is_asked_for_again_and_nothing_lies_there_twice() -> None:
    setting, (found, report) = Setting(), reports()
    setting.topic()
    producer = setting.producer(enable_idempotence=True)
    setting.next_calls("Produce", lost="response")
    producer.produce("t", b"v", b"k", 0, on_delivery=report)
    assert producer.flush(10) == 0
    assert found == [(None, 0)]
    assert setting.values() == [b"v"]


def test_without_idempotence_a_lost_answer_leaves_the_record_twice() -> None:
    setting = Setting()
    setting.topic()
    producer = setting.producer()
    setting.next_calls("Produce", lost="response")
    producer.produce("t", b"v", b"k", 0)
    assert producer.flush(10) == 0
    assert setting.values() == [b"v", b"v"]


def test_a_record_that_is_not_acknowledged_in_time_fails_and_may_be_written() -> None:
    setting, (found, report) = Setting(), reports()
    setting.topic()
    producer = setting.producer(enable_idempotence=True, message_timeout_ms=3000)
    producer.list_topics("t", 5)
    setting.network.cut("one", 1, "responses")
    producer.produce("t", b"v", b"k", 0, on_delivery=report)
    assert producer.flush(10) == 0
    assert found == [(KafkaError._MSG_TIMED_OUT, None)]
    setting.network.mend("one", 1)
    assert setting.values() == [b"v"]
    producer.produce("t", b"w", b"k", 0, on_delivery=report)
    assert producer.flush(10) == 0
    assert setting.values() == [b"v", b"w"]


def test_a_first_batch_that_is_refused_is_lost_when_the_second_one_is_taken() -> None:
    """On a partition that knows nothing of the producer; the library reports success without an offset."""
    setting, (found, report) = Setting(), reports()
    setting.topic()
    producer = setting.producer(enable_idempotence=True, batch_size=60)
    producer.flush(5)
    setting.time.pass_by(1.0)
    setting.next_calls("Produce", refusal=KafkaError.NOT_LEADER_FOR_PARTITION)
    for value in (b"x" * 50, b"y" * 50):
        producer.produce("t", value, b"k", 0, on_delivery=report)
    assert producer.flush(10) == 0
    assert found == [(None, None), (None, 0)]
    assert setting.values() == [b"y" * 50]


@pytest.mark.parametrize("lost", ["request", "response"])
def test_a_commit_in_doubt_is_settled_by_asking_again(lost: Any) -> None:
    setting = Setting()
    setting.topic()
    producer = setting.transactional()
    producer.begin_transaction()
    producer.produce("t", b"v", b"k", 0)
    setting.next_calls("EndTxn", lost=lost)
    producer.commit_transaction(10)
    assert setting.values() == [b"v"]
    assert setting.cluster.transactions.ended["commit"] == 1


def test_a_commit_whose_answer_is_cut_off_times_out_and_is_resumed() -> None:
    setting = Setting()
    setting.topic()
    producer = setting.transactional()
    producer.begin_transaction()
    producer.produce("t", b"v", b"k", 0)
    producer.flush(10)
    setting.network.cut("one", 1, "responses")
    with pytest.raises(KafkaException) as caught:
        producer.commit_transaction(2)
    error = caught.value.args[0]
    assert (error.code(), error.retriable(), error.fatal()) == (KafkaError._TIMED_OUT, True, False)
    assert setting.values() == [b"v"]
    setting.network.mend("one", 1)
    producer.commit_transaction(10)
    producer.begin_transaction()


def test_requests_that_are_cut_off_arrive_once_the_link_is_mended() -> None:
    setting, (found, report) = Setting(), reports()
    setting.topic()
    producer = setting.producer(enable_idempotence=True)
    producer.list_topics("t", 5)
    setting.time.pass_by(1.0)
    setting.network.cut("one", 1, "requests")
    producer.produce("t", b"v", b"k", 0, on_delivery=report)
    assert producer.flush(3) == 1
    assert setting.values() == []
    setting.network.mend("one", 1)
    assert producer.flush(3) == 0
    assert found == [(None, 0)]


def test_a_process_that_is_killed_flushes_nothing_and_its_transaction_times_out() -> None:
    setting = Setting()
    setting.topic()
    producer = setting.transactional("x", "doomed", transaction_timeout_ms=5000, message_timeout_ms=4000)
    producer.begin_transaction()
    producer.produce("t", b"half", b"k", 0)
    producer.flush(10)
    setting.kill("doomed")
    log = setting.cluster.topics.partition(("t", 0)).log
    assert log.stable_end == 0
    setting.until(lambda: log.stable_end == log.end, 10)
    assert setting.values() == []
    assert setting.cluster.transactions.ended["time-out"] == 1


def test_a_transactions_offsets_wait_for_the_groups_coordinator_beyond_their_time() -> None:
    """As librdkafka does: https://github.com/confluentinc/librdkafka/issues/5456."""
    setting = Setting(load_s=0.0)
    setting.topic()
    producer, handle = setting.transactional(), setting.consumer()
    handle.committed([TopicPartition("t", 0)], 10)
    producer.begin_transaction()
    setting.cluster.coordinators.lose("group", "g", 8.0)
    began = setting.time.now()
    producer.send_offsets_to_transaction([TopicPartition("t", 0, 3)], handle.consumer_group_metadata(), 1)
    assert setting.time.now() - began > 7.0
    producer.commit_transaction(10)
    assert handle.committed([TopicPartition("t", 0)], 10)[0].offset == 3
