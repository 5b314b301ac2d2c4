"""Ask the cluster, once at start, for what exactly-once ownership needs; refuse to run without it.

librdkafka silently leaves out `require_stable` on brokers that do not know it. So we look: while a transactional offset
is pending, a read_committed handle must get no answer; after the commit it must get that offset.
"""

from __future__ import annotations

from typing import Final

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from streams.runtime import client_config
from streams.runtime.cluster_queries import PATIENCE_S, RetryPauses
from streams.runtime.errors import ClusterUnfitError

_NEEDS = (
    "The broker lacks what workers need: transactions with stable offset fetch and group protocol `consumer` "
    "(Apache Kafka 4.0 or newer)"
)

_TRIES: Final = 5


def probe(client: client_config.Config, app: str, topic: str, partition: int, identity: str) -> None:
    """Check stable offset fetch with a group and a transactional id of its own; blocks for about a second.

    Raises ClusterUnfitError naming what is missing.
    """
    group = f"{app}.probe.{identity}"
    producer = Producer(client_config.producer(client, f"{app}.probe.{identity}"), logger=None)
    place = TopicPartition(topic, partition)
    try:
        # Sending offsets to a coordinator that has yet to make its topic, as on a new cluster, never returns (seen with
        # librdkafka 2.16.1, whatever the timeout): so it is asked first, which makes the topic and waits for it.
        if not _answers_offsets(client, group, place):
            raise ClusterUnfitError("The broker does not tell the offsets of a group: its coordinator is not available")
        producer.init_transactions(30)
        producer.begin_transaction()
        positions = [TopicPartition(topic, partition, 1)]
        producer.send_offsets_to_transaction(positions, _metadata(client, group), 10)
        if _answer(client, group, place, 0.3) is not None:
            raise ClusterUnfitError(f"{_NEEDS}: it tells offsets whose transaction is still open")
        producer.commit_transaction(10)
        if all(_answer(client, group, place, 3) != 1 for _ in range(_TRIES)):
            raise ClusterUnfitError(f"{_NEEDS}: it does not tell an offset that was committed")
    except KafkaException as error:
        raise ClusterUnfitError(f"{_NEEDS}: {error.args[0].str()}") from error


def _metadata(client: client_config.Config, group: str) -> object:
    reader = Consumer(client_config.reader(client, group), logger=None)
    try:
        return reader.consumer_group_metadata()
    finally:
        reader.close()


def _answers_offsets(client: client_config.Config, group: str, place: TopicPartition) -> bool:
    """Return whether the coordinator answers at all, asked for a minute: while it comes up it refuses at once."""
    pauses = RetryPauses(PATIENCE_S)
    while _answer(client, group, place, 3) is None:
        if pauses.over():
            return False
    return True


def _answer(client: client_config.Config, group: str, place: TopicPartition, timeout: float) -> int | None:
    """Return the committed offset, None when the broker does not answer within `timeout` seconds.

    Each time by a new handle: one that asks while a broker loads its groups may get no answer for ever.
    """
    reader = Consumer(client_config.reader(client, group), logger=None)
    try:
        return int(reader.committed([place], timeout)[0].offset)
    except KafkaException:
        return None
    finally:
        reader.close()
