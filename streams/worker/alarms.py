"""Alerts that a worker raises at once, without waiting for the health check: its circuit breakers, and their end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from schemas import Event
from schemas.alert import AlertRaised, AlertResolved
from topics.errors import TopicError

if TYPE_CHECKING:
    from streams.worker.limits.breaker import Word
    from topics.producer import EventProducer

log = logging.getLogger(__name__)


class Alarms:
    """Writes alerts to the bus; what does not get there is found, and told of, by the next health check."""

    def __init__(
        self, producer: EventProducer, topic: str, spawn: Callable[[Coroutine[Any, Any, None]], object]
    ) -> None:
        """Write to `topic`, the bus."""
        self._producer = producer
        self._topic = topic
        self._spawn = spawn

    def breaker(self, word: Word) -> None:
        """Tell of a breaker that this worker has opened or closed."""
        name = f"breaker/{word.name}"
        event: AlertRaised | AlertResolved
        if word.open:
            cause = "by hand" if word.forced else "after failures in a row"
            text = f"the circuit breaker of {word.name} is open {cause}"
            event = AlertRaised(alert=name, summary=text, detail=text, at_ms=word.since_ms)
        else:
            text = f"the circuit breaker of {word.name} is closed"
            event = AlertResolved(alert=name, summary=text, at_ms=word.since_ms)
        self._spawn(self._send(event, f"{name}/{word.number}/{word.worker}"))

    async def _send(self, event: Event, id: str) -> None:
        try:
            await self._producer.send(self._topic, event, id=id)
        except TopicError as error:
            log.warning("the bus did not take an alert, which the next health check finds: %s", error)
