"""A topic as data: what is on it, for how long, and how it is laid out; users declare their own with it."""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from topics.errors import TopicError

Kind = Literal["queue", "bus", "log", "changelog", "state"]
Cleanup = Literal["delete", "compact"]
Timestamp = Literal["CreateTime", "LogAppendTime"]

#: The largest batch that every topic takes, in bytes: Kafka's default of 1 MiB and its overhead.
MAX_BYTES = 1_048_588

_LEGAL = re.compile(r"[A-Za-z0-9._-]{1,249}")
_DAY_MS = timedelta(days=1) // timedelta(milliseconds=1)
#: Brokers refuse records from over an hour ahead by default: a machine whose clock is wrong would lose what it writes.
_ANY_MS = str(2**63 - 1)


def days_ms(days: float) -> int:
    """Return days in milliseconds."""
    return int(days * _DAY_MS)


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic.

    ``kind`` says what it is for: a queue of work, the bus, a log of facts, the changelog of a store, or the latest
    state of each key. ``key`` says in words what its records are keyed by. ``retention_ms`` counts for cleanup
    ``delete``; None keeps records for ever. ``partitions`` None means the count that all topics of the pipeline
    share, so that one key lies in one partition number everywhere. ``events`` are the types found on it.
    ``config`` holds further settings by Kafka's names. Raises TopicError for a name that Kafka does not take.
    """

    name: str
    description: str = ""
    kind: Kind = "bus"
    key: str = ""
    cleanup: Cleanup = "delete"
    retention_ms: int | None = days_ms(1)
    partitions: int | None = None
    config: dict[str, str] = field(default_factory=dict)
    events: tuple[str, ...] = ()
    timestamp: Timestamp = "CreateTime"

    def __post_init__(self) -> None:
        """Check the name and the partition count."""
        if not _LEGAL.fullmatch(self.name) or self.name in (".", ".."):
            message = f"topic name {self.name!r} must be 1 to 249 letters, digits, dots, dashes or underscores"
            raise TopicError(message)
        if self.partitions is not None and self.partitions < 1:
            message = f"topic {self.name}: partitions must be at least 1, not {self.partitions}"
            raise TopicError(message)

    @property
    def shares_partitions(self) -> bool:
        """Whether the topic has the pipeline's shared partition count, which must not change."""
        return self.partitions is None

    def settings(self) -> dict[str, str]:
        """Return the topic's settings by Kafka's names, all that must be as declared."""
        retention = -1 if self.retention_ms is None or self.cleanup == "compact" else self.retention_ms
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(retention),
            "message.timestamp.type": self.timestamp,
            "message.timestamp.after.max.ms": _ANY_MS,
            "max.message.bytes": str(MAX_BYTES),
            **({"delete.retention.ms": str(_DAY_MS)} if self.cleanup == "compact" else {}),
            **self.config,
        }
