"""Looks every five minutes whether the pipeline is well, and reports each problem once, and its end."""

from __future__ import annotations

import asyncio

from schemas import Event
from schemas.alert import AlertRaised, AlertResolved
from schemas.bus import HealthCheckCompleted
from streams import clock, minutes, schedule, settings
from streams.tables.alerts import Alert, alerts

OURS = ("health/", "dead/", "breaker/")
CRITICAL = frozenset({"health/workers", "health/broker", "health/retention"})


@schedule(every=minutes(5))
async def health_check() -> list[Event]:
    """Publish `health_check_completed`, and alerts for what has begun or ended since the last check."""
    from streams.query.health import problems  # noqa: PLC0415 - commands import schedules and need no Kafka client
    from streams.query.latest import rows_of  # noqa: PLC0415

    here, now_ms = settings.load(), clock.now_ms()
    found = await asyncio.to_thread(problems, here, now_ms)
    known: dict[str, Alert] = await asyncio.to_thread(rows_of, here, alerts)
    return changed_alerts(found, known, now_ms)


def changed_alerts(found: dict[str, str], known: dict[str, Alert], now_ms: int) -> list[Event]:
    """Return the events for the problems `found`, given the alerts that are `known`."""
    unwell = [name for name in sorted(found) if name.startswith("health/")]
    check = HealthCheckCompleted(
        subject="streams", healthy=not unwell, detail="; ".join(found[name] for name in unwell), data=found
    )
    raised = [
        AlertRaised(
            alert=name,
            severity="critical" if name in CRITICAL else "warning",
            summary=text[:120],
            detail=text,
            at_ms=now_ms,
        )
        for name, text in sorted(found.items())
        if name not in known or not known[name].open
    ]
    resolved = [
        AlertResolved(alert=name, summary=row.summary, at_ms=now_ms)
        for name, row in sorted(known.items())
        if row.open and name.startswith(OURS) and name not in found
    ]
    return [check, *raised, *resolved]
