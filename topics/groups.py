"""How far consumer groups are, and dropping what is old and read by them; blocking, as all of `topics.admin`."""

import logging
from collections.abc import Iterable, Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from topics.errors import BrokerUnavailableError, TopicError
from topics.kafka import KafkaConfig
from topics.reader import Time, offsets, read

_LOG = logging.getLogger(__name__)
_ANSWER_S = 10.0
_SEVERE = 2  # the library's own lines from this severity on; refused connections are logged by `topics.reach`

Place = tuple[str, int]


def committed(config: KafkaConfig, group: str, *, timeout: float = _ANSWER_S) -> dict[Place, int]:
    """Return a group's next offset by topic and partition, where it has one; none for an unknown group.

    Raises BrokerUnavailableError if no broker answers within ``timeout`` seconds.
    """
    client = _client(config)  # kept: its futures fail with its end
    try:
        futures = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=timeout)
        found = futures[group].result(timeout)
    except (KafkaException, TimeoutError) as error:
        if isinstance(error, KafkaException) and error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return {}
        message = f"{config.bootstrap_servers} does not tell the offsets of group {group}; is it running?"
        raise BrokerUnavailableError(message) from error
    return {(place.topic, place.partition): place.offset for place in found.topic_partitions or () if place.offset >= 0}


def groups(config: KafkaConfig, prefix: str, *, timeout: float = _ANSWER_S) -> list[str]:
    """Return the ids of the consumer groups that begin with `prefix`, sorted, with members or without.

    Raises BrokerUnavailableError if a broker does not answer within ``timeout`` seconds.
    """
    client = _client(config)
    try:
        found = client.list_consumer_groups(request_timeout=timeout).result(timeout)
    except (KafkaException, TimeoutError) as error:
        message = f"{config.bootstrap_servers} does not list its consumer groups; is it running?"
        raise BrokerUnavailableError(message) from error
    if found.errors:
        raise BrokerUnavailableError(f"not all brokers list their consumer groups: {found.errors[0]}")
    return sorted(one.group_id for one in found.valid if one.group_id.startswith(prefix))


def lag(config: KafkaConfig, group: str, topics: Iterable[str], *, timeout: float = _ANSWER_S) -> dict[str, int]:
    """Return how many records (commit markers count) lie before a group by topic; one without offset has all before it.

    Raises as ``committed`` does, and TopicError for an unknown topic.
    """
    done = committed(config, group, timeout=timeout)
    behind = {}
    for topic in topics:
        ends = offsets(config, topic, "latest", timeout=timeout)
        unread = any((topic, partition) not in done for partition in ends)
        starts = offsets(config, topic, "earliest", timeout=timeout) if unread else {}
        behind[topic] = sum(
            max(end - max(done.get((topic, partition), 0), starts.get(partition, 0)), 0)
            for partition, end in ends.items()
        )
    return behind


def waiting(config: KafkaConfig, group: str, topics: Iterable[str]) -> int:
    """Return how many of the topics have a record that a group has not handled; commit markers are none.

    Raises as ``lag`` does.
    """
    done = committed(config, group)
    found = 0
    for topic in topics:
        start = {partition: offset for (name, partition), offset in done.items() if name == topic}
        found += next(iter(read(config, topic, start=start, limit=1)), None) is not None
    return found


def drop_before(config: KafkaConfig, topic: str, ms: int, done: Iterable[Mapping[Place, int]]) -> Mapping[int, int]:
    """Delete a topic's records from before a time (milliseconds since the epoch) that all groups are past.

    ``done`` is what each group has committed, as ``committed`` returns it; one without an offset has read nothing.
    Returns the new first offset by partition, where something was deleted. The broker drops whole segments only, so a
    quiet topic keeps records long after their retention. Raises as ``lag`` does.
    """
    ends = dict(offsets(config, topic, Time(ms)))
    starts = offsets(config, topic, "earliest")
    for group in done:
        ends = {partition: min(end, group.get((topic, partition), 0)) for partition, end in ends.items()}
    doomed = [TopicPartition(topic, partition, end) for partition, end in ends.items() if end > starts[partition]]
    if not doomed:
        return {}
    client = _client(config)
    try:
        futures = client.delete_records(doomed, request_timeout=_ANSWER_S)
        return {place.partition: future.result(_ANSWER_S).low_watermark for place, future in futures.items()}
    except (KafkaException, TimeoutError) as error:
        message = f"{topic}: its old records could not be deleted ({error}); look at the broker"
        raise TopicError(message) from error


def _client(config: KafkaConfig) -> AdminClient:
    return AdminClient(config.client() | {"log_level": _SEVERE, "error_cb": config.reach.failed}, logger=_LOG)
