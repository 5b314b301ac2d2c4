"""The topics of the simulated cluster: their logs, their leaders, and what the brokers remove from them in time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, Uuid

from tests.simulation.kafka.errors import RefusedError
from tests.simulation.kafka.partition_log import LogSettings, PartitionLog
from tests.simulation.kafka.topic_settings import DEFAULTS, log_settings

Partition = tuple[str, int]


@dataclass(slots=True)
class PartitionState:
    """One partition: its log, who leads it, and who waits for records of it."""

    replicas: list[int]
    leader: int
    log: PartitionLog = field(default_factory=PartitionLog)
    refuses_until: float = 0.0  # its leader refuses writes before that time, as one that is not ready
    readers: dict[Callable[[], None], None] = field(default_factory=dict)

    def changed(self) -> None:
        """Wake who waits for records."""
        readers, self.readers = self.readers, {}
        for wake in readers:
            wake()


@dataclass(slots=True)
class Topic:
    """One topic."""

    name: str
    id: Uuid
    config: dict[str, str]
    partitions: list[PartitionState]
    settings: LogSettings


class TopicStore:
    """All topics of a cluster."""

    def __init__(self, brokers: Iterable[int], chance: random.Random, now_ms: Callable[[], int]) -> None:
        """Begin without topics; `now_ms` is the brokers' clock."""
        self._brokers = sorted(brokers)
        self._chance = chance
        self._now_ms = now_ms
        self.topics: dict[str, Topic] = {}

    def counts(self) -> dict[str, int]:
        """Return how many partitions each topic has."""
        return {topic.name: len(topic.partitions) for topic in self.topics.values()}

    def create(self, name: str, partitions: int, replicas: int, config: Mapping[str, str], alive: set[int]) -> None:
        """Make a topic; raises RefusedError as a broker does."""
        if name in self.topics:
            raise RefusedError(KafkaError.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
        if not name or len(name) > 249 or any(not (char.isalnum() or char in "._-") for char in name):
            raise RefusedError(KafkaError.TOPIC_EXCEPTION)
        if partitions < 1 and partitions != -1:
            raise RefusedError(KafkaError.INVALID_PARTITIONS)
        if replicas > len(self._brokers):
            raise RefusedError(KafkaError.INVALID_REPLICATION_FACTOR)
        unknown = sorted(config.keys() - DEFAULTS.keys())
        if unknown:
            raise RefusedError(KafkaError.INVALID_CONFIG, f"Unknown topic config name: {unknown[0]}")
        identity = Uuid(self._chance.getrandbits(62), self._chance.getrandbits(62))
        topic = Topic(name, identity, dict(config), [], log_settings(config))
        self.topics[name] = topic
        self._add(topic, 1 if partitions == -1 else partitions, 1 if replicas == -1 else replicas, alive)

    def grow(self, name: str, count: int, alive: set[int]) -> None:
        """Give a topic more partitions."""
        topic = self.require(name)
        if count <= len(topic.partitions):
            raise RefusedError(KafkaError.INVALID_PARTITIONS)
        self._add(topic, count - len(topic.partitions), len(topic.partitions[0].replicas), alive)

    def delete(self, name: str) -> None:
        """Remove a topic with its records."""
        topic = self.require(name)
        del self.topics[name]
        for partition in topic.partitions:
            partition.changed()

    def alter(self, name: str, changes: Mapping[str, str | None]) -> None:
        """Change settings of a topic; None sets the default."""
        topic = self.require(name)
        unknown = sorted(changes.keys() - DEFAULTS.keys())
        if unknown:
            raise RefusedError(KafkaError.INVALID_CONFIG, f"Unknown topic config name: {unknown[0]}")
        for setting, value in changes.items():
            if value is None:
                topic.config.pop(setting, None)
            else:
                topic.config[setting] = value
        topic.settings = log_settings(topic.config)

    def _add(self, topic: Topic, count: int, replicas: int, alive: set[int]) -> None:
        for _ in range(count):
            first = (len(topic.partitions) + sum(topic.name.encode())) % len(self._brokers)
            copies = [self._brokers[(first + step) % len(self._brokers)] for step in range(replicas)]
            topic.partitions.append(PartitionState(copies, next((one for one in copies if one in alive), -1)))

    def require(self, name: str) -> Topic:
        """Return a topic; raises RefusedError for one that does not exist."""
        topic = self.topics.get(name)
        if topic is None:
            raise RefusedError(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return topic

    def partition(self, place: Partition, broker: int | None = None) -> PartitionState:
        """Return a partition, if `broker` leads it; raises RefusedError."""
        topic = self.require(place[0])
        if not 0 <= place[1] < len(topic.partitions):
            raise RefusedError(KafkaError.UNKNOWN_TOPIC_OR_PART)
        found = topic.partitions[place[1]]
        if broker is not None and found.leader != broker:
            raise RefusedError(KafkaError.NOT_LEADER_FOR_PARTITION)
        return found

    def settings(self, name: str) -> LogSettings:
        """Return what a topic's settings mean to its logs."""
        return self.require(name).settings

    def leave(self, broker: int, alive: set[int]) -> None:
        """Give what a broker leads to other copies that are alive, or to nobody."""
        for state in self._states():
            if state.leader == broker:
                state.leader = next((one for one in state.replicas if one in alive), -1)
                state.changed()

    def come_back(self, broker: int) -> None:
        """Let a broker lead what nobody leads."""
        for state in self._states():
            if state.leader < 0 and broker in state.replicas:
                state.leader = broker

    def retain(self) -> None:
        """Delete what is old or too much."""
        for topic in self.topics.values():
            for state in topic.partitions:
                state.log.retain(self._now_ms(), topic.settings)

    def compact(self) -> None:
        """Compact what is to be compacted."""
        for topic in self.topics.values():
            for state in topic.partitions:
                state.log.compact(self._now_ms(), topic.settings)

    def _states(self) -> list[PartitionState]:
        return [state for topic in self.topics.values() for state in topic.partitions]
