"""Sends alerts to people: a line in the worker's log, and the sinks that are set."""

from __future__ import annotations

import logging

from schemas.alert import AlertRaised, AlertResolved
from streams import RetryPolicy, on, settings
from streams.engine.ids import derived
from streams.tools._sinks import deliver, line

log = logging.getLogger(__name__)


@on(AlertRaised, AlertResolved, retry=RetryPolicy(attempts=5, first=2.0, cap=60.0))
async def tell_alert(event: AlertRaised | AlertResolved) -> None:
    """Log the alert and post it; a repeated delivery has the same id, so that the receiver can drop it."""
    message = {"type": event.event_type, "data": event.model_dump(mode="json")}
    log.warning("%s", line(message))
    await deliver(settings.load(), derived("a-", event.event_type, event.alert, event.at_ms), message)
