"""Brokers that pause, die, come back, or lose what they coordinate."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.unit.simulated_kafka._setting import Setting


def test_a_client_that_hears_of_no_broker_is_lost_and_a_new_one_is_not() -> None:
    setting = Setting()
    setting.topic()
    errors: list[int] = []
    admin = setting.process().admin(
        {"bootstrap.servers": setting.cluster.bootstrap}, error_cb=lambda error: errors.append(error.code())
    )
    admin.list_topics("t", timeout=5)
    setting.cluster.pause(1)
    setting.time.pass_by(7.0)
    setting.cluster.resume(1)
    admin.list_topics("t", timeout=0.2)  # the broker is in no metadata yet
    setting.time.pass_by(5.0)
    with pytest.raises(KafkaException):
        admin.list_topics("t", timeout=1)
    admin.poll(0)
    assert errors.count(KafkaError._ALL_BROKERS_DOWN) == 1
    assert len(setting.admin().list_topics("t", timeout=1).brokers) == 1


def test_a_short_pause_loses_nobody() -> None:
    setting = Setting()
    setting.topic()
    producer = setting.producer(enable_idempotence=True)
    producer.produce("t", b"v", b"k", 0)
    producer.flush(5)
    setting.cluster.pause(1)
    producer.produce("t", b"w", b"k", 0)
    assert producer.flush(2) == 1
    setting.cluster.resume(1)
    assert producer.flush(2) == 0
    assert setting.values() == [b"v", b"w"]


def test_a_broker_that_is_killed_comes_back_with_its_log() -> None:
    setting = Setting()
    setting.topic()
    producer = setting.producer(enable_idempotence=True)
    producer.produce("t", b"v", b"k", 0)
    producer.flush(5)
    setting.cluster.kill(1)
    producer.produce("t", b"w", b"k", 0)
    assert producer.flush(5) == 1
    with pytest.raises(KafkaException):
        setting.admin("other").list_topics(timeout=1)
    setting.cluster.start(1)
    setting.time.pass_by(1.0)
    assert setting.values() == [b"v", b"w"] or producer.lost


def test_another_broker_leads_what_a_dead_one_has_led() -> None:
    setting = Setting(brokers=3)
    setting.topic(partitions=3, replicas=3)
    producer = setting.producer(enable_idempotence=True)
    for partition in range(3):
        producer.produce("t", b"v", b"k", partition)
    assert producer.flush(10) == 0
    setting.cluster.kill(2)
    for partition in range(3):
        producer.produce("t", b"w", b"k", partition)
    assert producer.flush(20) == 0
    assert [setting.values("t", partition) for partition in range(3)] == [[b"v", b"w"]] * 3


def test_a_transaction_survives_the_loss_of_its_coordinator() -> None:
    setting = Setting(brokers=3)
    setting.topic(partitions=1, replicas=3)
    producer = setting.transactional()
    producer.begin_transaction()
    producer.produce("t", b"v", b"k", 0)
    producer.flush(10)
    setting.cluster.kill(setting.cluster.coordinators.find("transaction", "x"))
    producer.commit_transaction(20)
    assert setting.values() == [b"v"]


def test_a_commit_waits_for_a_coordinator_that_is_away() -> None:
    setting = Setting()
    setting.topic()
    producer = setting.transactional()
    producer.begin_transaction()
    producer.produce("t", b"v", b"k", 0)
    producer.flush(10)
    setting.cluster.coordinators.lose("transaction", "x", 4.0)
    with pytest.raises(KafkaException) as caught:
        producer.commit_transaction(1)
    assert caught.value.args[0].retriable()
    producer.commit_transaction(10)
    assert setting.values() == [b"v"]


def test_markers_come_late_and_the_id_is_busy_until_then() -> None:
    setting = Setting(marker_s=(1.0, 1.0))
    setting.topic()
    producer = setting.transactional()
    producer.begin_transaction()
    producer.produce("t", b"v", b"k", 0)
    producer.commit_transaction(10)
    log = setting.cluster.topics.partition(("t", 0)).log
    assert log.stable_end == 0
    producer.begin_transaction()
    producer.produce("t", b"w", b"k", 0)
    began = setting.time.now()
    assert producer.flush(10) == 0
    assert setting.time.now() - began > 0.5
    producer.commit_transaction(10)
    setting.time.pass_by(2.0)
    assert setting.values() == [b"v", b"w"]


def test_epochs_rise_at_each_end_where_the_brokers_do_so() -> None:
    setting = Setting(bumps_epochs=True)
    setting.topic()
    producer = setting.transactional()
    for value in (b"a", b"b", b"c"):
        producer.begin_transaction()
        producer.produce("t", value, b"k", 0)
        producer.commit_transaction(10)
    assert setting.cluster.transactions.entries["x"].producer.epoch == 3
    assert setting.values() == [b"a", b"b", b"c"]


def member(
    setting: Setting, process: str, topic: str = "t", **settings: Any
) -> tuple[Any, list[tuple[str, list[int]]]]:
    """Return a member of the group and what it is told."""
    events: list[tuple[str, list[int]]] = []
    consumer = setting.consumer(process, **settings)

    def note(kind: str) -> Any:
        return lambda _, places: events.append((kind, [place.partition for place in places]))

    consumer.subscribe([topic], on_assign=note("assign"), on_revoke=note("revoke"), on_lost=note("lost"))
    return consumer, events


def poll(setting: Setting, seconds: float, *consumers: Any) -> None:
    end = setting.time.now() + seconds
    while setting.time.now() < end:
        for consumer in consumers:
            consumer.poll(0.05)


def test_a_member_that_is_cut_off_is_expelled_and_told_when_it_is_back() -> None:
    setting = Setting()
    setting.topic(partitions=2)
    first, events = member(setting, "one")
    second, others = member(setting, "two")
    poll(setting, 5, first, second)
    assert {kind for kind, _ in events + others} <= {"assign", "revoke"}
    setting.network.cut("one", 1)
    poll(setting, 10, first, second)
    assert others[-1][0] == "assign"
    assert len(second.assignment()) == 2
    assert len(first.assignment()) == 1  # it has heard nothing
    setting.network.mend("one", 1)
    poll(setting, 5, first, second)
    assert "lost" in [kind for kind, _ in events]
    assert len(first.assignment()) == len(second.assignment()) == 1
    assert setting.cluster.groups.expelled == 1


def test_a_member_that_does_not_poll_loses_its_place_and_joins_again() -> None:
    setting = Setting()
    setting.topic(partitions=2)
    first, events = member(setting, "one", max_poll_interval_ms=5000)
    poll(setting, 2, first)
    assert len(first.assignment()) == 2
    setting.time.pass_by(8.0)
    assert setting.cluster.groups.groups["g"].members == {}
    found = first.consume(1, 0)
    assert [message.error().code() for message in found] == [KafkaError._MAX_POLL_EXCEEDED]
    poll(setting, 3, first)
    assert [kind for kind, _ in events][:2] == ["assign", "lost"]
    assert len(first.assignment()) == 2


def test_a_killed_members_partitions_move_after_its_session() -> None:
    setting = Setting()
    setting.topic(partitions=2)
    first, _ = member(setting, "doomed")
    poll(setting, 2, first)
    second, _ = member(setting, "two")
    poll(setting, 2, first, second)
    setting.kill("doomed")
    killed = setting.time.now()
    while len(second.assignment()) < 2:
        second.poll(0.05)
        assert setting.time.now() - killed < 10
    assert 4.0 < setting.time.now() - killed < 8.0


def test_offsets_of_an_expelled_member_are_refused_in_a_transaction() -> None:
    setting = Setting()
    setting.topic(partitions=2)
    first, _ = member(setting, "one")
    poll(setting, 2, first)
    producer = setting.transactional("x", "one")
    former = first.consumer_group_metadata()
    setting.next_calls("ConsumerGroupHeartbeat", request_s=30.0, times=100)
    setting.time.pass_by(8.0)
    producer.begin_transaction()
    with pytest.raises(KafkaException) as caught:
        producer.send_offsets_to_transaction([TopicPartition("t", 0, 3)], former, 5)
    error = caught.value.args[0]
    assert (error.code(), error.txn_requires_abort()) == (KafkaError.UNKNOWN_MEMBER_ID, True)
    producer.abort_transaction(5)


def test_a_run_is_repeated_exactly_by_its_seed() -> None:
    def trace(seed: int) -> list[Any]:
        setting = Setting(seed=seed, brokers=3)
        setting.topic(partitions=2, replicas=3)
        first, events = member(setting, "one")
        second, others = member(setting, "two")
        producer = setting.transactional()
        poll(setting, 3, first, second)
        producer.begin_transaction()
        producer.produce("t", b"v", b"k", 0)
        setting.cluster.kill(1)
        producer.commit_transaction(20)
        poll(setting, 8, first, second)
        return [events, others, setting.time.now(), setting.network.calls]

    assert trace(3) == trace(3)
