"""Keeps the bus as short as it is declared: brokers drop whole segments, which a quiet topic fills in weeks."""

from __future__ import annotations

import logging

from streams import clock, schedule, settings

log = logging.getLogger(__name__)


@schedule(cron="0 2 * * *")
def cleanup_old_events() -> None:
    """Delete events that are older than the topic's retention and that the workers of all pools have handled."""
    from streams.app import discover  # noqa: PLC0415 - commands import schedules and need no Kafka client
    from streams.query.retention_risk import bus_groups, retention_ms  # noqa: PLC0415
    from topics.groups import drop_before  # noqa: PLC0415
    from topics.names import Names  # noqa: PLC0415

    here = settings.load()
    events = Names(here.topic_prefix).events
    retained_ms = retention_ms(here.kafka(), events)
    if retained_ms is None:
        return
    limit = clock.now_ms() - retained_ms
    dropped = drop_before(here.kafka(), events, limit, bus_groups(here, discover(here.apps)).values())
    log.info("events older than %s are gone from %d partitions", clock.iso(limit), len(dropped))
