"""The requests that a broker answers, by the names of Kafka's protocol; each raises RefusedError for an error code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, Uuid

from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.coordinators import TOPICS, CoordinatorKind
from tests.simulation.kafka.errors import RefusedError
from tests.simulation.kafka.group_coordinator import CommittedOffset, ConsumerGroup, Heartbeat, HeartbeatAnswer
from tests.simulation.kafka.partition_log import LogRecord
from tests.simulation.kafka.transaction_coordinator import ProducerIdentity

Partition = tuple[str, int]

EARLIEST: Final = -2
LATEST: Final = -1
MAX_TIMESTAMP: Final = -3


class PartitionInfo(NamedTuple):
    """One partition as metadata tells it."""

    leader: int
    replicas: list[int]
    in_sync: list[int]


class MetadataAnswer(NamedTuple):
    """The brokers and topics that a broker knows; a topic that does not exist is None."""

    brokers: list[int]
    topics: dict[str, list[PartitionInfo] | None]


class FetchAnswer(NamedTuple):
    """What a fetch brought of one partition."""

    records: list[tuple[int, LogRecord]]
    following: int
    high_watermark: int
    stable_end: int
    start: int
    refusal: int | None = None


class ProduceBatch(NamedTuple):
    """A batch on its way to a partition."""

    partition: Partition
    records: list[LogRecord]
    producer: ProducerIdentity
    sequence: int
    transactional_id: str | None


class BrokerApi:
    """What one broker answers."""

    def __init__(self, cluster: Cluster, broker: int) -> None:
        """Answer for `broker`."""
        self._cluster = cluster
        self._broker = broker

    @property
    def broker(self) -> int:
        """Return which one."""
        return self._broker

    # -- the cluster

    def metadata(self, topics: list[str] | None) -> MetadataAnswer:
        """Answer Metadata; None asks for all topics, an empty list for none."""
        store, alive = self._cluster.topics.topics, self._cluster.alive()
        wanted = list(store) if topics is None else topics
        found: dict[str, list[PartitionInfo] | None] = {}
        for name in wanted:
            topic = store.get(name)
            found[name] = (
                None
                if topic is None
                else [
                    PartitionInfo(
                        state.leader if state.leader in alive else -1,
                        list(state.replicas),
                        [one for one in state.replicas if one in alive],
                    )
                    for state in topic.partitions
                ]
            )
        return MetadataAnswer(alive, found)

    def find_coordinator(self, kind: CoordinatorKind, key: str) -> int:
        """Answer FindCoordinator; the first question of all makes the topic that coordinators need."""
        if TOPICS[kind] not in self._cluster.topics.topics:
            self._cluster.make_coordinators(kind)
            raise RefusedError(KafkaError.COORDINATOR_NOT_AVAILABLE)
        return self._cluster.coordinators.find(kind, key)

    # -- topics

    def create_topic(self, name: str, partitions: int, replicas: int, config: Mapping[str, str]) -> None:
        """Answer CreateTopics for one topic."""
        alive = set(self._cluster.alive())
        self._cluster.topics.create(name, partitions, replicas, config, alive)
        self._cluster.groups.topics_changed()

    def grow_topic(self, name: str, count: int) -> None:
        """Answer CreatePartitions for one topic."""
        self._cluster.topics.grow(name, count, set(self._cluster.alive()))
        self._cluster.groups.topics_changed()

    def delete_topic(self, name: str) -> None:
        """Answer DeleteTopics for one topic: the offsets of groups for it go with it."""
        self._cluster.topics.delete(name)
        self._cluster.groups.topic_deleted(name)
        self._cluster.groups.topics_changed()

    def describe_topic(self, name: str) -> tuple[Uuid, list[PartitionInfo]]:
        """Answer DescribeTopicPartitions for one topic."""
        topic = self._cluster.topics.require(name)
        return topic.id, self.metadata([name]).topics[name] or []

    def topic_config(self, name: str) -> dict[str, str]:
        """Answer DescribeConfigs for one topic, with what is not a default."""
        return dict(self._cluster.topics.require(name).config)

    def alter_topic(self, name: str, changes: Mapping[str, str | None]) -> None:
        """Answer IncrementalAlterConfigs for one topic."""
        self._cluster.topics.alter(name, changes)

    # -- records

    def produce(self, batch: ProduceBatch) -> int:
        """Answer Produce with the first offset of the batch."""
        cluster = self._cluster
        state = cluster.topics.partition(batch.partition, self._broker)
        if state.refuses_until > cluster.waiter.now():
            raise RefusedError(KafkaError.NOT_LEADER_FOR_PARTITION)
        if batch.transactional_id is not None:
            cluster.transactions.require_partition(batch.transactional_id, batch.producer, batch.partition)
        offset = state.log.append(
            batch.records,
            cluster.now_ms(),
            settings=cluster.topics.settings(batch.partition[0]),
            producer_id=batch.producer.id,
            epoch=batch.producer.epoch,
            sequence=batch.sequence,
            transactional=batch.transactional_id is not None,
        )
        state.changed()
        return offset

    def fetch(
        self, positions: Mapping[Partition, int], *, committed: bool, max_bytes: int
    ) -> dict[Partition, FetchAnswer]:
        """Answer Fetch at once, with what there is."""
        answers: dict[Partition, FetchAnswer] = {}
        left = max_bytes
        for place, offset in positions.items():
            try:
                log = self._cluster.topics.partition(place, self._broker).log
                if left <= 0:
                    continue
                found = log.read(offset, committed=committed, limit=5_000, max_bytes=left)
                answers[place] = FetchAnswer(found.records, found.following, log.end, log.stable_end, log.start)
                left -= sum(record.size() for _, record in found.records)
            except RefusedError as error:
                answers[place] = FetchAnswer([], offset, -1, -1, -1, error.code)
        return answers

    def wait_for_records(self, places: list[Partition], wake: Callable[[], None]) -> None:
        """Call `wake` when one of these partitions changes; it may be called more than once."""
        for place in places:
            self._cluster.topics.partition(place).readers[wake] = None

    def wait_no_more(self, places: list[Partition], wake: Callable[[], None]) -> None:
        """Call `wake` no more."""
        for place in places:
            topic = self._cluster.topics.topics.get(place[0])
            if topic is not None and place[1] < len(topic.partitions):
                topic.partitions[place[1]].readers.pop(wake, None)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Act after a time."""
        self._cluster.waiter.schedule(self._cluster.waiter.now() + seconds, action)

    def list_offset(self, place: Partition, timestamp: int, *, committed: bool) -> tuple[int, int]:
        """Answer ListOffsets with offset and timestamp, both -1 if there is none."""
        log = self._cluster.topics.partition(place, self._broker).log
        if timestamp == EARLIEST:
            return log.start, -1
        if timestamp == LATEST:
            return (log.stable_end if committed else log.end), -1
        if timestamp == MAX_TIMESTAMP:
            return log.latest_timestamp() or (-1, -1)
        return log.offset_at(timestamp, committed=committed) or (-1, -1)

    def delete_records(self, place: Partition, before: int) -> int:
        """Answer DeleteRecords with the new start of the log."""
        return self._cluster.topics.partition(place, self._broker).log.delete_before(before)

    # -- transactions

    def init_producer(self, name: str | None, timeout_s: float, former: ProducerIdentity | None) -> ProducerIdentity:
        """Answer InitProducerId."""
        if name is None:
            return self._cluster.transactions.new_producer()
        self._require("transaction", name)
        return self._cluster.transactions.open(name, timeout_s, former)

    def add_partitions(self, name: str, producer: ProducerIdentity, partitions: set[Partition]) -> None:
        """Answer AddPartitionsToTxn."""
        self._require("transaction", name)
        for place in partitions:
            self._cluster.topics.partition(place)
        self._cluster.transactions.add_partitions(name, producer, partitions)

    def add_offsets(self, name: str, producer: ProducerIdentity, group: str) -> None:
        """Answer AddOffsetsToTxn."""
        self._require("transaction", name)
        self._cluster.transactions.add_group(name, producer, group)

    def end_transaction(self, name: str, producer: ProducerIdentity, *, commit: bool) -> ProducerIdentity:
        """Answer EndTxn."""
        self._require("transaction", name)
        return self._cluster.transactions.end(name, producer, commit=commit)

    def commit_in_transaction(
        self,
        name: str,
        group: str,
        member: tuple[str, int],
        producer: ProducerIdentity,
        offsets: Mapping[Partition, CommittedOffset],
    ) -> None:
        """Answer TxnOffsetCommit."""
        self._require("group", group)
        self._cluster.transactions.require_group(name, producer, group)
        self._cluster.groups.commit_in_transaction(group, *member, producer, offsets)

    # -- groups

    def heartbeat(self, told: Heartbeat) -> HeartbeatAnswer:
        """Answer ConsumerGroupHeartbeat."""
        self._require("group", told.group)
        return self._cluster.groups.heartbeat(told)

    def commit(self, group: str, member: tuple[str, int], offsets: Mapping[Partition, CommittedOffset]) -> None:
        """Answer OffsetCommit."""
        self._require("group", group)
        for place in offsets:
            self._cluster.topics.partition(place)
        self._cluster.groups.commit(group, *member, offsets)

    def fetch_offsets(
        self, group: str, partitions: list[Partition] | None, *, stable: bool
    ) -> dict[Partition, CommittedOffset | None]:
        """Answer OffsetFetch."""
        self._require("group", group)
        return self._cluster.groups.fetch(group, partitions, stable=stable)

    def list_groups(self) -> dict[str, ConsumerGroup]:
        """Answer ListGroups for all brokers together."""
        return dict(self._cluster.groups.groups)

    def describe_group(self, name: str) -> ConsumerGroup | None:
        """Answer ConsumerGroupDescribe; None for a group that does not exist."""
        self._require("group", name)
        return self._cluster.groups.groups.get(name)

    def _require(self, kind: CoordinatorKind, key: str) -> None:
        self._cluster.coordinators.require(kind, key, self._broker)
