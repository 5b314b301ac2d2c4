"""Keeps the bus as short as it is declared: brokers drop whole segments, which a quiet topic fills in weeks."""

from __future__ import annotations

import logging

from streams import clock, schedule, settings

log = logging.getLogger(__name__)


@schedule(cron="0 2 * * *")
def cleanup_old_events() -> None:
    """Delete events that are older than the topic's retention and that workers have handled."""
    from topics.catalogue import catalogue  # noqa: PLC0415 - commands import schedules and need no Kafka client
    from topics.groups import drop_before  # noqa: PLC0415
    from topics.names import Names  # noqa: PLC0415

    here = settings.load()
    names = Names(here.topic_prefix)
    events = next(topic for topic in catalogue(here.topic_prefix) if topic.name == names.events)
    if events.retention_ms is None:
        return
    limit = clock.now_ms() - events.retention_ms
    dropped = drop_before(here.kafka(), events.name, limit, [names.topic("streams.default")])
    log.info("events older than %s are gone from %d partitions", clock.iso(limit), len(dropped))
