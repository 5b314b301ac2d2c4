"""Every topic of a pipeline on one page, as a function of what the pipeline is made of."""

from collections.abc import Iterable
from dataclasses import replace

from topics.names import Names
from topics.topic import MAX_BYTES, Topic, days_ms

DEFAULT_POOL = "default"

#: A webhook's body may have 25 MiB; its record has the sender's headers beside it.
WEBHOOK_BYTES = 26 * 1024 * 1024
#: An event may hold all of a webhook's body: GitHub's pushes have up to 25 MiB.
EVENT_BYTES = WEBHOOK_BYTES
#: A dead letter, its redrive and the row of an event that waits hold a whole record and what happened to it.
LETTER_BYTES = EVENT_BYTES + MAX_BYTES

#: How long the bus keeps events that nobody has read, a week without workers included.
BUS_MS = days_ms(7)
#: The retention of queues and signals.
QUEUE_MS = days_ms(7)
LETTER_MS = days_ms(28)
#: How long the id of a run is remembered at least after its history was deleted. A submission may wait in its queue,
#: become a dead letter, and come back by a redrive, which is a signal: no record may find the id forgotten.
REMEMBERED_MS = QUEUE_MS + LETTER_MS + QUEUE_MS

_RUN_ENDINGS = ("run.started", "run.succeeded", "run.failed", "run.cancelled")
_SIGNALS = (
    "signal.sent",
    "dead.redrive_requested",
    "run.cancel_requested",
    "run.resume_requested",
    "child.ended",
    "run.fork_requested",
    "schedule.commanded",
    "schedule.run_ended",
)


def catalogue(
    prefix: str = "",
    *,
    agents: Iterable[tuple[str, str]] = (),
    sources: Iterable[str] = (),
    tables: Iterable[tuple[str, int, str]] = (),
    pools: Iterable[str] = (),
    own: Iterable[Topic] = (),
) -> list[Topic]:
    """Return all topics of a pipeline, in order of their names.

    ``agents`` are names with their pools, ``tables`` names with fold version and pool; ``own`` are a user's topics,
    which get the prefix.
    """
    names, agents, tables = Names(prefix), list(agents), list(tables)
    all_pools = {DEFAULT_POOL, *pools, *(pool for _, pool in agents), *(pool for *_, pool in tables)}
    topics = [
        *_shared(names),
        *(_queue(names, agent) for agent, _ in agents),
        *(_deliveries(names, source) for source in sources),
        *(_journal(names, pool) for pool in all_pools),
        *(_table(names, *table) for table in tables),
        *(replace(topic, name=names.topic(topic.name)) for topic in own),
    ]
    return sorted({topic.name: topic for topic in topics}.values(), key=lambda topic: topic.name)


def _shared(names: Names) -> list[Topic]:
    return [
        Topic(
            names.events,
            "the bus: what anybody may react to",
            "bus",
            "the entity's id",
            retention_ms=BUS_MS,
            config={"max.message.bytes": str(EVENT_BYTES)},
        ),
        Topic(
            names.signals,
            "what is said to runs that exist; who is given a partition number of it serves that number of all topics",
            "queue",
            "run id",
            retention_ms=QUEUE_MS,
            config={"max.message.bytes": str(LETTER_BYTES)},
            events=_SIGNALS,
        ),
        Topic(names.runs, "the life of every run", "log", "run id", "compact", events=_RUN_ENDINGS),
        Topic(
            names.calls,
            "every model and tool call with its answer",
            "log",
            "hash of what determines the answer",
            retention_ms=days_ms(30),
            events=("call.recorded",),
        ),
        Topic(
            names.ticks,
            "one record for each slot of a schedule",
            "log",
            "schedule",
            retention_ms=days_ms(7),
            events=("schedule.ticked",),
        ),
        Topic(
            names.dead_letters,
            "records and runs that were given up, with the cause",
            "log",
            "dead letter id",
            retention_ms=LETTER_MS,
            config={"max.message.bytes": str(LETTER_BYTES)},
            events=("dead.lettered", "dead.redriven", "dead.discarded"),
        ),
        Topic(
            names.workers,
            "heartbeats: who owns what",
            "state",
            "worker id",
            "compact",
            partitions=1,
            config={"segment.bytes": str(16 * 1024 * 1024)},  # closed segments are compacted: a day of beats is large
            events=("worker.heartbeat",),
        ),
    ]


def _queue(names: Names, agent: str) -> Topic:
    return Topic(
        names.agents(agent),
        f"the queue of agent {agent}",
        "queue",
        "run id",
        retention_ms=QUEUE_MS,
        events=("run.submitted", "run.history_given"),
    )


def _deliveries(names: Names, source: str) -> Topic:
    return Topic(
        names.webhooks(source),
        f"raw verified deliveries of {source}",
        "log",
        "delivery id",
        retention_ms=days_ms(7),
        config={"max.message.bytes": str(WEBHOOK_BYTES)},
        events=("webhook.received",),
    )


def _journal(names: Names, pool: str) -> Topic:
    return Topic(
        names.journal(pool),
        f"the journal of pool {pool}: every entry of every run",
        "changelog",
        "kind, run id and path",
        "compact",
        config={"max.message.bytes": str(LETTER_BYTES)},
        timestamp="LogAppendTime",
    )


def _table(names: Names, table: str, version: int, pool: str) -> Topic:
    return Topic(
        names.table(table, version, pool),
        f"the rows of table {table}, fold version {version}",
        "changelog",
        "row key",
        "compact",
    )
