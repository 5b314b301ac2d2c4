"""Plain clients for facts about the broker: a producer in a transaction, members of a group, readers beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from streams.runtime import client_config

Client = dict[str, str]


def make_topics(bootstrap: str, *names: str, partitions: int = 4) -> None:
    """Create topics and wait for them."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(name, partitions, 1) for name in names]).values():
        future.result(60)


def transactional(bootstrap: str, name: str) -> Producer:
    """Return a worker's producer with its transactions opened."""
    producer = Producer(client_config.producer({"bootstrap.servers": bootstrap}, name), logger=None)
    producer.init_transactions(60)
    return producer


class Member:
    """A worker's consumer in a group, polled by hand."""

    def __init__(self, bootstrap: str, group: str, *topics: str) -> None:
        """Subscribe."""
        self.consumer = Consumer(client_config.consumer({"bootstrap.servers": bootstrap}, group), logger=None)
        self.owned: set[tuple[str, int]] = set()
        self.consumer.subscribe(list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        consumer.incremental_assign(places)
        self.owned |= {(place.topic, place.partition) for place in places}

    def _revoked(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        consumer.incremental_unassign(places)
        self.owned -= {(place.topic, place.partition) for place in places}

    def metadata(self) -> object:
        """Return what it would commit as."""
        return self.consumer.consumer_group_metadata()


def settle(members: list[Member], done: Callable[[], bool], seconds: float = 90) -> None:
    """Poll the members until `done`."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, [member.owned for member in members]
        for member in members:
            member.consumer.poll(0.05)


@contextmanager
def members(bootstrap: str, group: str, count: int, *topics: str) -> Iterator[list[Member]]:
    """Run with so many members that share the topics evenly."""
    made = [Member(bootstrap, group, *topics) for _ in range(count)]
    try:
        share = 4 * len(topics) // count
        settle(made, lambda: all(len(member.owned) == share for member in made))
        yield made
    finally:
        for member in made:
            member.consumer.close()


@contextmanager
def reader(bootstrap: str, group: str, **changed: str | bool) -> Iterator[Consumer]:
    """Run with a worker's helper handle, which never joins the group."""
    made = Consumer(client_config.reader({"bootstrap.servers": bootstrap}, group) | changed, logger=None)
    try:
        yield made
    finally:
        made.close()


def committed(handle: Consumer, topic: str, partition: int, seconds: float) -> int | None:
    """Return the committed offset, None when the broker does not tell in time."""
    try:
        return int(handle.committed([TopicPartition(topic, partition)], seconds)[0].offset)
    except KafkaException:
        return None


def send_offset(producer: Producer, topic: str, partition: int, offset: int, metadata: object) -> str:
    """Commit one offset in a transaction of its own; return the name of the refusal, empty if there was none."""
    producer.begin_transaction()
    try:
        producer.send_offsets_to_transaction([TopicPartition(topic, partition, offset)], metadata, 60)
        producer.commit_transaction(60)
    except KafkaException as error:
        reason = error.args[0]
        assert reason.txn_requires_abort(), reason.str()
        producer.abort_transaction(60)
        return str(reason.name())
    return ""
