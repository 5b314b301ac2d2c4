"""The settings of topics: Kafka's defaults, and what they mean to a log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.simulation.kafka.partition_log import LogSettings

DEFAULTS: Final = {
    "cleanup.policy": "delete",
    "compression.type": "producer",
    "delete.retention.ms": "86400000",
    "max.message.bytes": "1048588",
    "message.timestamp.after.max.ms": "3600000",
    "message.timestamp.type": "CreateTime",
    "min.cleanable.dirty.ratio": "0.5",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "9223372036854775807",
    "min.insync.replicas": "1",
    "retention.bytes": "-1",
    "retention.ms": "604800000",
    "segment.bytes": "1073741824",
    "segment.ms": "604800000",
}


def log_settings(config: Mapping[str, str]) -> LogSettings:
    """Return what the settings of a topic mean to its logs."""
    given = {**DEFAULTS, **config}
    policy = given["cleanup.policy"].split(",")
    return LogSettings(
        compacts="compact" in policy,
        deletes="delete" in policy,
        retention_ms=_limit(given["retention.ms"]),
        retention_bytes=_limit(given["retention.bytes"]),
        segment_ms=int(given["segment.ms"]),
        segment_bytes=int(given["segment.bytes"]),
        delete_retention_ms=int(given["delete.retention.ms"]),
        min_compaction_lag_ms=int(given["min.compaction.lag.ms"]),
        max_message_bytes=int(given["max.message.bytes"]),
        timestamp_after_ms=int(given["message.timestamp.after.max.ms"]),
    )


def _limit(value: str) -> int | None:
    return None if int(value) < 0 else int(value)
