"""librdkafka settings of the worker's clients: what each is for stands beside it."""

from __future__ import annotations

from typing import Any, Final

Config = dict[str, Any]

_QUIET: Final = {
    "log_level": 2,  # what matters comes as errors and callbacks; the library's own lines alarm without need
}

SESSION_S: Final = (
    6.0  # group.consumer.session.timeout.ms of our brokers; others' are longer, so this stays on the safe side
)
# Kafka takes 9 s to notice that a broker was lost for good (broker.session.timeout.ms) and up to five more to elect
# leaders and to load the coordinators: what is under way has to outlast that. It is hardly longer, since it also bounds
# how long the open transaction of a killed worker, whose slot nobody restarts, holds readers and successors back.
TRANSACTION_TIMEOUT_S: Final = 20.0
MESSAGE_TIMEOUT_S: Final = 18.0  # below the transaction's own, which the library asks for
# The longest pause between tries of one request. Kafka takes ten seconds to replace a broker, and at the default of a
# second each of the requests in a row that a commit needs then comes up to a second late.
RETRY_MS: Final = 200
MAX_BATCH_BYTES: Final = 1_000_000  # the broker judges batches against max.message.bytes, not records


def quiet(client: Config) -> Config:
    """Return the configuration of an admin client."""
    return client | _QUIET


def producer(client: Config, transactional_id: str) -> Config:
    """Return the configuration of the worker's one transactional producer."""
    return (
        client
        | _QUIET
        | {
            "transactional.id": transactional_id,
            "transaction.timeout.ms": int(TRANSACTION_TIMEOUT_S * 1000),
            "message.timeout.ms": int(MESSAGE_TIMEOUT_S * 1000),
            "enable.idempotence": True,
            # CONCURRENT_TRANSACTIONS right after a commit is answered by this back-off: at its default of 100 a lone
            # append-and-commit takes over 100 ms.
            "retry.backoff.ms": 2,
            "retry.backoff.max.ms": RETRY_MS,
            # A call that needs the group's coordinator waits for ever for one that the library has let go, since only
            # the change of a connection makes it ask again who that is (librdkafka#5511). While a call waits all
            # connections are idle: with this they end, after 0.75 to 1.5 seconds, and are made anew.
            "connections.max.idle.ms": 1500,
            "linger.ms": 0,
            "batch.size": MAX_BATCH_BYTES,
            "partitioner": "murmur2_random",  # the Java client's: any standard client finds the same partition
            "message.max.bytes": 28
            * 1024
            * 1024,  # each topic's own limit is checked before; dead letters are the largest
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 262_144,
        }
    )


def consumer(client: Config, group: str, client_id: str = "streams") -> Config:
    """Return the configuration of the group's member (group protocol of KIP-848), which fetches nothing itself.

    Others find this process among the group's members by `client_id`.
    """
    return (
        client
        | _QUIET
        | {
            "client.id": client_id,
            "group.id": group,
            "group.protocol": "consumer",
            "group.remote.assignor": "range",
            "enable.auto.commit": False,
            "retry.backoff.max.ms": RETRY_MS,
            "enable.auto.offset.store": False,
            # Under KIP-848 this is also the time that a revocation may take. A hung worker whose library still sends
            # heartbeats loses its partitions after it.
            "max.poll.interval.ms": 60_000,
        }
    )


_READING: Final = _QUIET | {
    "enable.auto.commit": False,
    "retry.backoff.max.ms": RETRY_MS,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",  # for committed() this means: wait for pending transactional offsets
    "enable.partition.eof": True,  # shows how far was read where markers and aborted records come last
    # With a full queue the library does not fetch for so long; by default a second, in which it runs empty.
    "fetch.queue.backoff.ms": 10,
    "fetch.message.max.bytes": 4 * 1024 * 1024,
}


def fetcher(client: Config, group: str) -> Config:
    """Return the configuration of the consumer that fetches what the group's member was given; it is in no group."""
    return (
        client
        | _READING
        | {
            "group.id": group,  # the library wants one, and the worker may read this one's offsets
            "enable.auto.offset.store": False,
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 32_768,
        }
    )


def reader(client: Config, group: str) -> Config:
    """Return the configuration of a helper that reads changelogs and committed offsets; it never joins the group."""
    return client | _READING | {"group.id": group, "fetch.wait.max.ms": 50}


def follower(client: Config, group: str) -> Config:
    """Return the configuration of a helper that follows changelogs for long: with little memory, and in no hurry."""
    return reader(client, group) | {
        "queued.max.messages.kbytes": 8192,
        "fetch.wait.max.ms": 500,
        "fetch.queue.backoff.ms": 100,
    }
