"""Looks at a cluster's topics and carries out plans; blocking, so call it from a thread where a loop is running."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it lists no exports
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from topics.changes import Alter, TopicPlan, TopicState, plan
from topics.errors import BrokerUnavailableError, PlanRefusedError, TopicError
from topics.kafka import KafkaConfig
from topics.refusals import missing_right, takes_connections

__all__ = ["TopicPlan", "TopicState", "apply", "delete", "describe", "plan", "topic_names", "weak_partitions"]

_LOG = logging.getLogger(__name__)
_ANSWER_S = 10.0
_PACE_S = 0.02
_TURN_S = 1.0
_SEVERE = 2  # the library's own lines from this severity on; refused connections are logged by `topics.reach`


def topic_names(config: KafkaConfig, *, timeout: float = _ANSWER_S) -> dict[str, int]:
    """Return the cluster's topics with their partition counts; raises BrokerUnavailableError after ``timeout`` s."""
    return _partitions(_client(config), config, timeout)


def weak_partitions(config: KafkaConfig, prefix: str = "", *, timeout: float = _ANSWER_S) -> list[str]:
    """Return the partitions (`topic/number`) without a leader or with fewer copies in sync than they should have.

    Of the topics that begin with ``prefix``. Raises BrokerUnavailableError after ``timeout`` s.
    """
    metadata = _metadata(_client(config), config, timeout)
    return sorted(
        f"{name}/{number}"
        for name, topic in metadata.topics.items()
        if name.startswith(prefix) and topic.error is None
        for number, partition in topic.partitions.items()
        if partition.leader < 0 or len(partition.isrs) < len(partition.replicas)
    )


def describe(
    config: KafkaConfig, names: Iterable[str] | None = None, *, timeout: float = _ANSWER_S
) -> dict[str, TopicState]:
    """Return those of the named topics that exist, or all, with partition counts and settings.

    Raises BrokerUnavailableError if no broker answers within ``timeout`` seconds.
    """
    client = _client(config)
    counts = _partitions(client, config, timeout)
    wanted = sorted(counts if names is None else set(names) & counts.keys())
    _require_sight(client, sorted(set(names or ()) - counts.keys()), timeout)
    if not wanted:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in wanted]
    settings = _settle(_asked(client.describe_configs, resources, timeout), tolerated=KafkaError.UNKNOWN_TOPIC_OR_PART)
    return {
        resource.name: TopicState(
            counts[resource.name],
            {name: str(entry.value) for name, entry in entries.items() if entry.value is not None},
        )
        for resource, entries in settings.items()
    }


def apply(config: KafkaConfig, changes: TopicPlan, *, timeout: float = 30.0) -> None:
    """Carry out a plan and wait until every broker's metadata shows it; a topic made meanwhile by another is fine.

    Raises PlanRefusedError before any change if the plan has refusals, TopicError for what the broker refuses, and
    BrokerUnavailableError if it does not answer within ``timeout`` seconds.
    """
    if changes.refused:
        listed = "; ".join(f"{item.name} {item.reason}" for item in changes.refused)
        message = f"nothing was changed: {listed}"
        raise PlanRefusedError(message)
    client = _client(config)
    _create(client, changes, timeout)
    _grow(client, changes, timeout)
    _alter(client, changes.alter, timeout)
    expected = {item.name: item.partitions for item in changes.create} | {
        item.name: item.after for item in changes.grow
    }
    _wait_until_visible(client, config, expected, timeout)


def delete(config: KafkaConfig, names: Iterable[str], *, timeout: float = 30.0) -> None:
    """Delete topics; those that do not exist are no error. Raises as ``apply`` does."""
    wanted, client = list(names), _client(config)
    if wanted:
        futures = _asked(client.delete_topics, wanted, timeout)
        _settle(futures, tolerated=KafkaError.UNKNOWN_TOPIC_OR_PART)


def _create(client: AdminClient, changes: TopicPlan, timeout: float) -> None:
    topics = [
        NewTopic(
            item.name,
            num_partitions=item.partitions,
            replication_factor=item.replication_factor,
            config=dict(item.config),
        )
        for item in changes.create
    ]
    if topics:
        _settle(_asked(client.create_topics, topics, timeout), tolerated=KafkaError.TOPIC_ALREADY_EXISTS)


def _grow(client: AdminClient, changes: TopicPlan, timeout: float) -> None:
    grown = [NewPartitions(item.name, item.after) for item in changes.grow]
    if grown:
        _settle(_asked(client.create_partitions, grown, timeout))


def _alter(client: AdminClient, changes: Iterable[Alter], timeout: float) -> None:
    entries: dict[str, list[ConfigEntry]] = {}
    for item in changes:
        entry = ConfigEntry(item.setting, item.after, incremental_operation=AlterConfigOpType.SET)
        entries.setdefault(item.name, []).append(entry)
    resources = [
        ConfigResource(ResourceType.TOPIC, name, incremental_configs=settings) for name, settings in entries.items()
    ]
    if resources:
        _settle(_asked(client.incremental_alter_configs, resources, timeout))


def _wait_until_visible(client: AdminClient, config: KafkaConfig, expected: Mapping[str, int], timeout: float) -> None:
    """Ask again until the metadata shows all partitions with a leader; the client's own poll paces the asking."""
    for _ in range(max(1, int(timeout / _PACE_S))):
        shown = _partitions(client, config, timeout)
        if all(shown.get(name, 0) >= count for name, count in expected.items()):
            return
        client.poll(_PACE_S)
    message = f"the topics {sorted(expected)} were made and are not visible after {timeout:.0f} s; look at the broker"
    raise TopicError(message)


def _client(config: KafkaConfig) -> AdminClient:
    return AdminClient(config.client() | {"log_level": _SEVERE, "error_cb": config.reach.failed}, logger=_LOG)


def _partitions(client: AdminClient, config: KafkaConfig, timeout: float) -> dict[str, int]:
    """Return topics with the number of their partitions that have a leader."""
    return {
        name: sum(partition.leader >= 0 for partition in topic.partitions.values())
        for name, topic in _metadata(client, config, timeout).topics.items()
        if topic.error is None
    }


def _metadata(client: AdminClient, config: KafkaConfig, timeout: float) -> ClusterMetadata:
    """Ask in short turns: the library retries a connection that is refused for ever, and says so only to `poll`."""
    turns = max(1, round(timeout / _TURN_S))
    cause: KafkaException | None = None
    for _ in range(turns):
        try:
            metadata = client.list_topics(timeout=timeout / turns)
        except KafkaException as error:
            cause = error
            client.poll(0)
            if config.reach.refusal is not None:
                raise BrokerUnavailableError(f"{config.bootstrap_servers}: {config.reach.refusal}") from error
        else:
            config.reach.answered()
            return metadata
    raise _silence(config, cause) from cause


def _silence(config: KafkaConfig, cause: KafkaException | None) -> BrokerUnavailableError:
    explanation = config.reach.explanation
    if explanation is not None:
        return BrokerUnavailableError(f"no broker answers at {config.bootstrap_servers}: {explanation}")
    if takes_connections(config.bootstrap_servers):
        return BrokerUnavailableError(
            f"{config.bootstrap_servers} takes connections and does not answer as Kafka does with "
            f"{config.security_protocol}: it is busy, or STREAMS_KAFKA_SECURITY_PROTOCOL is not that of this port"
        )
    reason = "" if cause is None else f" ({_reason(cause)})"
    return BrokerUnavailableError(f"no broker answers at {config.bootstrap_servers}{reason}; is Kafka running there?")


def _require_sight(client: AdminClient, missing: list[str], timeout: float) -> None:
    """Raise TopicError for a topic that this user may not describe: a list of all topics leaves it out silently."""
    if missing:
        futures = client.describe_topics(TopicCollection(missing), request_timeout=timeout)
        _settle(futures, tolerated=KafkaError.UNKNOWN_TOPIC_OR_PART)


def _asked(request: Callable[..., dict[Any, Any]], what: list[Any], timeout: float) -> dict[Any, Any]:
    """Send an admin request; its futures are settled within ``timeout`` seconds."""
    return request(what, request_timeout=timeout)


def _settle(futures: Mapping[Any, Any], *, tolerated: int | None = None) -> dict[Any, Any]:
    """Wait for the answers and return them; the client must stay referenced, since its futures fail with its end."""
    answers = {}
    for name, future in futures.items():
        try:
            answers[name] = future.result()
        except KafkaException as error:
            if error.args[0].code() != tolerated:
                resource = getattr(name, "name", name)
                raise TopicError(_refused(str(resource), error)) from error
    return answers


def _refused(resource: str, error: KafkaException) -> str:
    return missing_right(error.args[0], resource) or f"{resource}: the broker refused: {_reason(error)}"


def _reason(error: KafkaException) -> str:
    return str(error.args[0].str())
