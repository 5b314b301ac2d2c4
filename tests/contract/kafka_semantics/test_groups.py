"""Groups by the protocol of KIP-848: assignments, what is given back, sessions, and whose offsets are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.contract.kafka_semantics._world import ANSWER_S, World, failure_of, make_topic, reader, transactional

Place = tuple[str, int]
SETTLE_S = 60.0


class PolledMember:
    """A member of a group that is polled by hand and notes what it is told."""

    def __init__(self, world: World, group: str, *topics: str, client: str = "member") -> None:
        self.consumer = world.consumer(
            group_id=group,
            group_protocol="consumer",
            group_remote_assignor="range",
            client_id=client,
            enable_auto_commit=False,
        )
        self.owned: set[Place] = set()
        self.events: list[tuple[str, set[Place]]] = []
        self.consumer.subscribe(
            list(topics),
            on_assign=self._assigned,
            on_revoke=lambda consumer, places: self._gone("revoke", consumer, places),
            on_lost=lambda consumer, places: self._gone("lost", consumer, places),
        )

    def _assigned(self, consumer: Any, places: list[TopicPartition]) -> None:
        found = {(place.topic, place.partition) for place in places}
        consumer.incremental_assign(places)
        self.owned |= found
        self.events.append(("assign", found))

    def _gone(self, kind: str, consumer: Any, places: list[TopicPartition]) -> None:
        found = {(place.topic, place.partition) for place in places}
        consumer.incremental_unassign(places)
        self.owned -= found
        self.events.append((kind, found))


@contextmanager
def member(world: World, group: str, *topics: str, client: str = "member") -> Iterator[PolledMember]:
    made = PolledMember(world, group, *topics, client=client)
    try:
        yield made
    finally:
        made.consumer.close()


def settle(world: World, members: list[PolledMember], done: Callable[[], bool]) -> None:
    """Poll the members until `done`."""
    end = world.now() + SETTLE_S
    while not done():
        assert world.now() < end, [one.owned for one in members]
        for one in members:
            one.consumer.poll(0.05)


def all_of(topic: str, count: int) -> set[Place]:
    return {(topic, number) for number in range(count)}


def test_one_member_gets_all_and_two_share(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix, 4)
    with member(world, prefix, topic) as first:
        settle(world, [first], lambda: first.owned == all_of(topic, 4))
        with member(world, prefix, topic) as second:
            both = [first, second]
            settle(world, both, lambda: len(first.owned) == len(second.owned) == 2)
            assert first.owned | second.owned == all_of(topic, 4)
            assert [kind for kind, _ in first.events] == ["assign", "revoke", "assign"]
            assert first.events[2] == ("assign", set())
            numbers = sorted(number for _, number in first.owned)
            assert numbers in ([0, 1], [2, 3])  # a range
        settle(world, [first], lambda: first.owned == all_of(topic, 4))


def test_nobody_owns_what_another_has_not_given_back(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix, 2)
    with member(world, prefix, topic) as first:
        settle(world, [first], lambda: len(first.owned) == 2)
        with member(world, prefix, topic) as second:
            end = world.now() + 2.0
            while world.now() < end:  # the first one does not poll
                second.consumer.poll(0.1)
            assert second.owned == set()
            settle(world, [first, second], lambda: len(first.owned) == len(second.owned) == 1)


def test_each_topic_is_shared_by_those_who_subscribe_to_it(world: World, prefix: str) -> None:
    common, own = make_topic(world, f"{prefix}.common", 4), make_topic(world, f"{prefix}.own", 2)
    with member(world, prefix, common, own) as first, member(world, prefix, common) as second:
        both = [first, second]
        settle(
            world,
            both,
            lambda: all_of(own, 2) <= first.owned and len(first.owned) == 4 and len(second.owned) == 2,
        )
        assert sorted(number for name, number in first.owned if name == common) in ([0, 1], [2, 3])


def test_topics_of_one_group_are_assigned_by_number_together(world: World, prefix: str) -> None:
    names = [make_topic(world, f"{prefix}.{name}", 4) for name in ("a", "b")]
    with member(world, prefix, *names) as first, member(world, prefix, *names) as second:
        settle(world, [first, second], lambda: len(first.owned) == len(second.owned) == 4)
        for one in (first, second):
            numbers = {number for _, number in one.owned}
            assert one.owned == {(name, number) for name in names for number in numbers}


def test_more_members_than_partitions_leave_one_without(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix, 1)
    with member(world, prefix, topic) as first, member(world, prefix, topic) as second:
        settle(world, [first, second], lambda: len(first.owned | second.owned) == 1)
        settled = world.now() + 1.0
        settle(world, [first, second], lambda: world.now() > settled)
        assert len(first.owned) + len(second.owned) == 1


def test_a_member_that_closes_is_told_that_its_partitions_are_revoked(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix, 2)
    with member(world, prefix, topic) as first:
        settle(world, [first], lambda: len(first.owned) == 2)
    assert first.events == [("assign", all_of(topic, 2)), ("revoke", all_of(topic, 2))]
    assert first.owned == set()


def test_a_group_says_who_its_members_are(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix, 2)
    with member(world, prefix, topic, client="one/two") as first:
        settle(world, [first], lambda: len(first.owned) == 2)
        admin = world.admin()
        described = admin.describe_consumer_groups([prefix])[prefix].result(ANSWER_S)
        assert [one.client_id for one in described.members] == ["one/two"]
        assert [one.member_id for one in described.members] == [first.consumer.memberid()]
        names = [one.group_id for one in admin.list_consumer_groups().result(ANSWER_S).valid]
        assert prefix in names
    described = admin.describe_consumer_groups([prefix])[prefix].result(ANSWER_S)
    assert described.members == []


def test_a_commit_counts_and_is_found_by_others(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix, 2)
    with member(world, prefix, topic) as first:
        settle(world, [first], lambda: len(first.owned) == 2)
        first.consumer.commit(offsets=[TopicPartition(topic, 1, 7, "mine")], asynchronous=False)
        found = reader(world, prefix).committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], ANSWER_S)
        assert [(one.offset, one.metadata) for one in found] == [(-1001, None), (7, "mine")]


def send_offset(producer: Any, place: Place, offset: int, metadata: object) -> str:
    """Commit one offset in a transaction of its own; return the name of the refusal, empty if there was none."""
    producer.begin_transaction()
    try:
        producer.send_offsets_to_transaction([TopicPartition(*place, offset)], metadata, ANSWER_S)
        producer.commit_transaction(ANSWER_S)
    except KafkaException as error:
        reason = error.args[0]
        assert reason.txn_requires_abort(), reason
        producer.abort_transaction(ANSWER_S)
        return str(reason.name())
    return ""


def test_a_transaction_takes_offsets_of_members_and_of_nobody(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix, 2)
    with member(world, prefix, topic) as first:
        settle(world, [first], lambda: len(first.owned) == 2)
        producer = transactional(world, f"{prefix}.t")
        assert send_offset(producer, (topic, 0), 7, first.consumer.consumer_group_metadata()) == ""
        assert send_offset(producer, (topic, 0), 8, reader(world, prefix).consumer_group_metadata()) == ""


def test_a_transaction_takes_no_offsets_of_a_member_that_has_left(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix, 2)
    producer = transactional(world, f"{prefix}.t")
    with member(world, prefix, topic) as first:
        settle(world, [first], lambda: len(first.owned) == 2)
        former = first.consumer.consumer_group_metadata()
    assert send_offset(producer, (topic, 0), 7, former) == "UNKNOWN_MEMBER_ID"


def test_a_transaction_takes_no_offsets_of_a_former_epoch(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix, 4)
    with member(world, prefix, topic) as first:
        settle(world, [first], lambda: len(first.owned) == 4)
        before, former = set(first.owned), first.consumer.consumer_group_metadata()
        with member(world, prefix, topic) as second:
            settle(world, [first, second], lambda: len(first.owned) == len(second.owned) == 2)
            moved, kept = min(before - first.owned), min(first.owned)
            producer = transactional(world, f"{prefix}.t")
            assert send_offset(producer, moved, 7, former) == "ILLEGAL_GENERATION"
            assert send_offset(producer, moved, 7, first.consumer.consumer_group_metadata()) == ""
            assert send_offset(producer, kept, 7, former) == "ILLEGAL_GENERATION"


def test_a_closed_consumer_refuses_calls(world: World, prefix: str) -> None:
    consumer = reader(world, prefix)
    consumer.close()
    for call in (lambda: consumer.poll(0), consumer.consumer_group_metadata, consumer.assignment):
        try:
            call()
        except RuntimeError:
            continue
        raise AssertionError(call)
    consumer.close()


def test_a_handle_beside_the_group_has_no_member(world: World, prefix: str) -> None:
    topic = make_topic(world, prefix)
    consumer = reader(world, prefix)
    assert not consumer.memberid()
    assert failure_of(lambda: consumer.seek(TopicPartition(topic, 0, 0))).code() in (
        KafkaError._STATE,
        KafkaError._UNKNOWN_PARTITION,
    )
