"""What the broker checks of a transactional offset commit, and what it does not: the worker's own rules fill the gaps.

If one of the "accepts" fails after an upgrade, the broker has become stricter, which is good news; read the rule in
the worker's consumer thread before deleting it.
"""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]

from streams.runtime import client_config
from tests.contract.broker._cluster import (
    Member,
    committed,
    make_topics,
    members,
    reader,
    send_offset,
    settle,
    transactional,
)


def test_it_accepts_a_current_member_for_a_partition_of_another(bootstrap: str, prefix: str) -> None:
    """So metadata and live assignments must be taken together, and only live ones committed."""
    make_topics(bootstrap, prefix)
    with members(bootstrap, f"{prefix}.g", 2, prefix) as (first, second):
        (topic, partition), *_ = sorted(second.owned)
        assert (topic, partition) not in first.owned
        producer = transactional(bootstrap, f"{prefix}.t")
        assert send_offset(producer, topic, partition, 7, first.metadata()) == ""
        with reader(bootstrap, f"{prefix}.g") as handle:
            assert committed(handle, topic, partition, 60) == 7


def test_it_accepts_no_member_at_all_in_a_live_group(bootstrap: str, prefix: str) -> None:
    """So metadata of a helper consumer with the group's name must never be used."""
    make_topics(bootstrap, prefix)
    with members(bootstrap, f"{prefix}.g", 1, prefix), reader(bootstrap, f"{prefix}.g") as stranger:
        producer = transactional(bootstrap, f"{prefix}.t")
        assert send_offset(producer, prefix, 0, 7, stranger.consumer_group_metadata()) == ""


def test_it_refuses_a_member_that_has_left(bootstrap: str, prefix: str) -> None:
    make_topics(bootstrap, prefix)
    with members(bootstrap, f"{prefix}.g", 1, prefix) as (staying,):
        with members(bootstrap, f"{prefix}.h", 1, prefix) as (leaving,):
            former = leaving.metadata()
        producer = transactional(bootstrap, f"{prefix}.t")
        assert send_offset(producer, prefix, 0, 7, former) == "UNKNOWN_MEMBER_ID"
        assert send_offset(producer, prefix, 0, 7, staying.metadata()) == ""


def test_it_refuses_a_former_epoch_for_a_partition_that_has_moved(bootstrap: str, prefix: str) -> None:
    make_topics(bootstrap, prefix)
    group = f"{prefix}.g"
    with members(bootstrap, group, 1, prefix) as (first,):
        before, former = set(first.owned), first.metadata()
        second = Member(bootstrap, group, prefix)
        try:
            settle([first, second], lambda: len(first.owned) == len(second.owned) == 2)
            moved = min(before - first.owned)
            assert moved in second.owned
            producer = transactional(bootstrap, f"{prefix}.t")
            assert send_offset(producer, *moved, 7, former) == "ILLEGAL_GENERATION"
        finally:
            second.consumer.close()


def test_a_successor_in_the_slot_fences_and_aborts_at_once(bootstrap: str, prefix: str) -> None:
    make_topics(bootstrap, prefix)
    first = transactional(bootstrap, f"{prefix}.t")
    first.begin_transaction()
    first.produce(prefix, b"half", partition=0)
    first.flush(60)
    second = transactional(bootstrap, f"{prefix}.t")
    second.begin_transaction()
    second.produce(prefix, b"whole", partition=0)
    second.commit_transaction(60)
    with pytest.raises(KafkaException) as refused:
        first.commit_transaction(60)
    assert refused.value.args[0].fatal()
    assert refused.value.args[0].code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED)
    with reader(bootstrap, f"{prefix}.r") as handle:
        handle.assign([TopicPartition(prefix, 0, 0)])
        assert first_value(handle) == b"whole"


def first_value(handle: Consumer) -> bytes | None:
    """Return the first committed value."""
    while True:
        message = handle.poll(60)
        assert message is not None
        if message.error() is None:
            return message.value()


def test_topics_of_one_group_are_assigned_by_number_together(bootstrap: str, prefix: str) -> None:
    """Partition p of all topics goes to one member: its events, state and journal sit in one process."""
    names = (f"{prefix}.a", f"{prefix}.b", f"{prefix}.c")
    make_topics(bootstrap, *names)
    with members(bootstrap, f"{prefix}.g", 2, *names) as made:
        for member in made:
            numbers = {partition for _, partition in member.owned}
            assert member.owned == {(name, number) for name in names for number in numbers}


def test_sessions_and_heartbeats_are_short(bootstrap: str) -> None:
    """A killed worker's partitions move after the session time-out, by default 45 s; proofs of ownership rest on it."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    broker = ConfigResource(ConfigResource.Type.BROKER, "1")
    found = admin.describe_configs([broker])[broker].result(60)
    assert float(found["group.consumer.session.timeout.ms"].value) == client_config.SESSION_S * 1000
    assert float(found["group.consumer.heartbeat.interval.ms"].value) <= client_config.SESSION_S * 1000 / 3
    assert float(found["transaction.abort.timed.out.transaction.cleanup.interval.ms"].value) <= 1000
