"""The admin client of the library: requests with futures, whose waiting is the harness's."""

from __future__ import annotations

import concurrent.futures
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import methodcaller
from typing import Any, Final

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    ConsumerGroupType,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Node,
    TopicCollection,
    TopicPartition,
    TopicPartitionInfo,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConsumerGroupDescription,
    ConsumerGroupListing,
    DeletedRecords,
    ListConsumerGroupsResult,
    ListOffsetsResultInfo,
    MemberAssignment,
    MemberDescription,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    TopicDescription,
)

from tests.simulation.kafka.broker_api import BrokerApi
from tests.simulation.kafka.client import RETRIABLE, Client
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.errors import RefusedError, kafka_error
from tests.simulation.kafka.group_coordinator import ConsumerGroup
from tests.simulation.kafka.links import Unanswered
from tests.simulation.kafka.timing import Waiter
from tests.simulation.kafka.topic_settings import DEFAULTS

_REQUEST_S: Final = 60.0


class SimulatedFuture(concurrent.futures.Future[Any]):
    """A future whose waiting is the harness's."""

    def __init__(self, waiter: Waiter) -> None:
        super().__init__()
        self._waiter = waiter

    def result(self, timeout: float | None = None) -> Any:
        """Return the result; raises TimeoutError when it is not there in time."""
        self._settled(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the error, None if there is none; raises TimeoutError when it is not known in time."""
        self._settled(timeout)
        return super().exception(0)

    def _settled(self, timeout: float | None) -> None:
        self._waiter.wait(None if timeout is None else self._waiter.now() + timeout, self.done)


class SimulatedAdmin(Client):
    """An admin client."""

    def __init__(
        self,
        cluster: Cluster,
        waiter: Waiter,
        chance: random.Random,
        process: str,
        config: dict[str, Any],
        error_cb: Callable[[KafkaError], None] | None,
    ) -> None:
        """Connect."""
        super().__init__(cluster, waiter, chance, process, config, error_cb)

    def poll(self, timeout: float = -1) -> int:
        """Run the callbacks that are due, after waiting for the first one."""
        until = None if timeout is None or timeout < 0 else self._waiter.now() + timeout
        self._waiter.wait(until, lambda: bool(self._callbacks))
        return self._serve()

    def __len__(self) -> int:
        """Return how many callbacks wait."""
        return len(self._callbacks)

    def __bool__(self) -> bool:
        """Tell that it is there, whatever its length."""
        return True

    # -- topics

    def create_topics(self, new_topics: Sequence[NewTopic], **settings: Any) -> dict[str, SimulatedFuture]:
        """Make topics."""

        def ask(new: NewTopic) -> Callable[[BrokerApi], None]:
            config = {name: str(value) for name, value in (new.config or {}).items()}
            return lambda api: api.create_topic(new.topic, new.num_partitions, new.replication_factor, config)

        return {new.topic: self._ask("CreateTopics", ask(new), settings) for new in new_topics}

    def delete_topics(self, topics: Sequence[str], **settings: Any) -> dict[str, SimulatedFuture]:
        """Remove topics."""
        return {name: self._ask("DeleteTopics", methodcaller("delete_topic", name), settings) for name in topics}

    def create_partitions(self, new_partitions: Sequence[NewPartitions], **settings: Any) -> dict[str, SimulatedFuture]:
        """Give topics more partitions."""
        return {
            new.topic: self._ask(
                "CreatePartitions",
                methodcaller("grow_topic", new.topic, new.new_total_count),
                settings,
            )
            for new in new_partitions
        }

    def describe_topics(self, topics: TopicCollection, **settings: Any) -> dict[str, SimulatedFuture]:
        """Describe topics."""

        def describe(name: str, api: BrokerApi) -> TopicDescription:
            topic, info = api.describe_topic(name)
            nodes = {number: Node(number, f"broker-{number}", 9092) for number in self._cluster.brokers}
            partitions = [
                TopicPartitionInfo(
                    number,
                    nodes.get(one.leader, Node(-1, "", -1)),
                    [nodes[broker] for broker in one.replicas],
                    [nodes[broker] for broker in one.in_sync],
                )
                for number, one in enumerate(info)
            ]
            return TopicDescription(name, topic, name.startswith("__"), partitions)

        names: list[str] = topics.topic_names
        return {name: self._ask("DescribeTopicPartitions", partial(describe, name), settings) for name in names}

    def describe_configs(self, resources: Sequence[ConfigResource], **settings: Any) -> dict[Any, SimulatedFuture]:
        """Return the settings of topics, or of brokers as far as they are simulated."""

        def describe(resource: ConfigResource, api: BrokerApi) -> dict[str, ConfigEntry]:
            if resource.restype == ConfigResource.Type.BROKER:
                given = self._broker_settings()
            else:
                given = {**DEFAULTS, **api.topic_config(resource.name)}
            return {name: ConfigEntry(name, value) for name, value in sorted(given.items())}

        return {one: self._ask("DescribeConfigs", partial(describe, one), settings) for one in resources}

    def _broker_settings(self) -> dict[str, str]:
        brokers = self._cluster.settings
        return {
            "group.consumer.session.timeout.ms": str(int(brokers.session_s * 1000)),
            "group.consumer.heartbeat.interval.ms": str(int(brokers.heartbeat_s * 1000)),
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": str(int(brokers.expiry_s * 1000)),
        }

    def incremental_alter_configs(
        self, resources: Sequence[ConfigResource], **settings: Any
    ) -> dict[Any, SimulatedFuture]:
        """Change settings of topics."""

        def alter(resource: ConfigResource, api: BrokerApi) -> None:
            changes = {
                entry.name: None if entry.incremental_operation == AlterConfigOpType.DELETE else str(entry.value)
                for entry in resource.incremental_configs
            }
            api.alter_topic(resource.name, changes)

        return {one: self._ask("IncrementalAlterConfigs", partial(alter, one), settings) for one in resources}

    # -- records

    def list_offsets(
        self, topic_partition_offsets: Mapping[TopicPartition, OffsetSpec], **settings: Any
    ) -> dict[TopicPartition, SimulatedFuture]:
        """Return offsets by an end of the log or a time."""
        committed = settings.get("isolation_level") == IsolationLevel.READ_COMMITTED

        def ask(place: TopicPartition, spec: OffsetSpec) -> SimulatedFuture:
            key, timestamp = (place.topic, place.partition), spec._value

            def look(api: BrokerApi) -> ListOffsetsResultInfo:
                offset, at = api.list_offset(key, timestamp, committed=committed)
                return ListOffsetsResultInfo(offset, at, -1)

            return self._ask("ListOffsets", look, settings, route=lambda: self._leader_or_fail(key))

        return {place: ask(place, spec) for place, spec in topic_partition_offsets.items()}

    def delete_records(
        self, topic_partition_offsets: Sequence[TopicPartition], **settings: Any
    ) -> dict[TopicPartition, SimulatedFuture]:
        """Delete the records before offsets."""

        def ask(place: TopicPartition) -> SimulatedFuture:
            key = (place.topic, place.partition)
            return self._ask(
                "DeleteRecords",
                lambda api: DeletedRecords(api.delete_records(key, place.offset)),
                settings,
                route=lambda: self._leader_or_fail(key),
            )

        return {place: ask(place) for place in topic_partition_offsets}

    def _leader_or_fail(self, place: tuple[str, int]) -> int | None:
        """Return the leader; raises RefusedError for a partition that does not exist."""
        leader = self._leader(place)
        if leader is None and self._is_missing(place):
            raise RefusedError(KafkaError._NOENT, "Failed to query partition leaders: No leaders found")
        return leader

    # -- groups

    def list_consumer_groups(self, **settings: Any) -> SimulatedFuture:
        """Return all groups."""

        def look(api: BrokerApi) -> ListConsumerGroupsResult:
            groups = api.list_groups()
            listed = [
                ConsumerGroupListing(name, not one.epoch, _state(one), _kind(one)) for name, one in groups.items()
            ]
            return ListConsumerGroupsResult(listed, [])

        return self._ask("ListGroups", look, settings)

    def describe_consumer_groups(self, group_ids: Sequence[str], **settings: Any) -> dict[str, SimulatedFuture]:
        """Describe groups."""

        def describe(name: str, api: BrokerApi) -> ConsumerGroupDescription:
            group = api.describe_group(name)
            if group is None:
                node = Node(api.broker, f"broker-{api.broker}", 9092)
                return ConsumerGroupDescription(name, False, [], "", ConsumerGroupState.DEAD, node)
            members = [
                MemberDescription(
                    one.id,
                    one.client_id,
                    "/127.0.0.1",
                    MemberAssignment([TopicPartition(*place) for place in sorted(one.assigned)]),
                    one.instance,
                    MemberAssignment([TopicPartition(*place) for place in sorted(group.target.get(one.id, ()))]),
                )
                for one in group.members.values()
            ]
            return ConsumerGroupDescription(
                name,
                False,
                members,
                "range",
                _state(group),
                Node(api.broker, f"broker-{api.broker}", 9092),
                type=ConsumerGroupType.CONSUMER,
            )

        return {
            name: self._ask(
                "ConsumerGroupDescribe",
                partial(describe, name),
                settings,
                route=partial(self._coordinator, "group", name),
                coordinator=name,
            )
            for name in group_ids
        }

    def list_consumer_group_offsets(
        self, requests: Sequence[ConsumerGroupTopicPartitions], **settings: Any
    ) -> dict[str, SimulatedFuture]:
        """Return the offsets of groups."""

        def ask(request: ConsumerGroupTopicPartitions) -> SimulatedFuture:
            name = request.group_id
            given = request.topic_partitions
            places = None if given is None else [(one.topic, one.partition) for one in given]
            stable = bool(settings.get("require_stable", False))

            def look(api: BrokerApi) -> ConsumerGroupTopicPartitions:
                found = api.fetch_offsets(name, places, stable=stable)
                return ConsumerGroupTopicPartitions(
                    name,
                    [
                        TopicPartition(*place, -1001)
                        if one is None
                        else TopicPartition(*place, one.offset, one.metadata)
                        for place, one in found.items()
                    ],
                )

            return self._ask(
                "OffsetFetch", look, settings, route=lambda: self._coordinator("group", name), coordinator=name
            )

        return {request.group_id: ask(request) for request in requests}

    # -- requests

    def _ask(
        self,
        name: str,
        look: Callable[[BrokerApi], Any],
        settings: Mapping[str, Any],
        *,
        route: Callable[[], int | None] | None = None,
        coordinator: str | None = None,
    ) -> SimulatedFuture:
        """Send a request and return the future of its answer."""
        future = SimulatedFuture(self._waiter)
        exchange = self._exchange(
            name,
            route or self._any_broker,
            look,
            timeout_s=float(settings.get("request_timeout", _REQUEST_S)),
            coordinator=None if coordinator is None else ("group", coordinator),
            final=RETRIABLE,  # the library gives these to the application
        )

        def settle(answer: Any) -> None:
            if isinstance(answer, RefusedError):
                future.set_exception(KafkaException(kafka_error(answer.code, answer.reason or None)))
            elif isinstance(answer, Unanswered):
                code = KafkaError._TRANSPORT if self.lost else KafkaError._TIMED_OUT
                future.set_exception(KafkaException(kafka_error(code)))
            else:
                future.set_result(answer)

        exchange.then(settle)
        return future


def _kind(group: ConsumerGroup) -> ConsumerGroupType:
    return ConsumerGroupType.CONSUMER if group.epoch else ConsumerGroupType.CLASSIC


def _state(group: ConsumerGroup) -> ConsumerGroupState:
    if not group.members:
        return ConsumerGroupState.EMPTY
    settled = all(one.epoch == group.epoch and not one.revoking for one in group.members.values())
    return ConsumerGroupState.STABLE if settled else ConsumerGroupState.PREPARING_REBALANCING
