"""Alerts that a worker raises at once, without waiting for the health check.

They are of its circuit breakers, with their end, of what it gives up (runs that failed, events, slots), and of queues
that it does not keep up with. A problem that lasts is reported once: before it is raised, the row of its alert is asked
for where it lives. Workers that ask at the same time raise it under the same id, of which the bus takes one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from http.client import NOT_FOUND, OK
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

import orjson

from schemas import Event
from schemas.alert import AlertRaised, AlertResolved
from streams import clock
from streams.query.health import MOST_BEHIND
from topics.errors import TopicError

if TYPE_CHECKING:
    from schemas.dead import DeadLettered
    from streams.limits.circuit import BreakerState
    from streams.query.wire import WorkerResponse
    from streams.runtime.retention_gaps import RetentionGap, RetentionGaps
    from topics.producer import EventProducer

log = logging.getLogger(__name__)

_ASK_S: Final = 30.0  # so often a worker asks whether a problem that goes on is known still
_ANSWER_S: Final = 2.0
_SOURCE: Final = "/streams/alarms"  # from outside of transactions: the bus drops what comes under the same id again


class AlertHomes(Protocol):
    """Where the rows of alerts live: `streams.limits.peers.Peers` is one."""

    def place(self, pool: str, limit: str) -> str | None:
        """Return the URL of the worker that owns a name."""

    async def get(self, url: str, seconds: float) -> WorkerResponse | None:
        """Return a worker's answer, None when there is none within `seconds`."""


class AlertWriter:
    """Writes alerts to the bus; what does not get there is found and reported by the next health check."""

    def __init__(
        self,
        producer: EventProducer,
        topic: str,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        homes: AlertHomes,
        gaps: RetentionGaps,
    ) -> None:
        """Write to `topic`, the bus; `gaps` are the records that were deleted unread."""
        self._gaps = gaps
        self._homes = homes
        self._asked: dict[str, float] = {}
        self._behind: set[str] = set()  # topics, when it was looked last
        self._producer = producer
        self._topic = topic
        self._spawn = spawn
        self.dead_letters: Counter[str] = Counter()  # by consumer

    def breaker(self, word: BreakerState) -> None:
        """Report a breaker that this worker has opened or closed."""
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

    def report_dead_letter(self, letter: DeadLettered) -> None:
        """Report a dead letter that is on the log, unless that consumer's alert is open."""
        self.dead_letters[letter.consumer] += 1
        what = f"run {letter.run_id} of {letter.consumer} failed" if letter.run_id else f"{letter.consumer} gave up"
        text = f"{what}: {letter.error}"
        self._soon(f"dead/{letter.consumer}", text)

    def behind(self, lags: Mapping[tuple[str, int], int]) -> None:
        """Report topics of which this worker is far behind, and was when it looked before; `lags` by partition."""
        total: Counter[str] = Counter()
        for (topic, _), count in lags.items():
            total[topic] += count
        far = {topic for topic, count in total.items() if count > MOST_BEHIND}
        if lasting := sorted(far & self._behind):
            self._soon("health/lag", f"workers are behind: {', '.join(f'{one} by {total[one]}' for one in lasting)}")
        self._behind = far

    def looked(self, lags: Mapping[tuple[str, int], int]) -> None:
        """Report what a look at the owned partitions has found."""
        self.behind(lags)
        self.lost()

    def lost(self) -> None:
        """Report records that were deleted unread, each gap once; it stays open until somebody resolves it."""
        for gap in self._gaps.take():
            log.error("%s/%d: offsets %d to %d were deleted before they were read", *gap)
            self._spawn(self._lost(gap))

    async def _lost(self, gap: RetentionGap) -> None:
        """Write the alert under an id of its gap; what the bus does not take is tried again at the next look."""
        name = f"lost/{gap.topic}"
        text = (
            f"{gap.topic}/{gap.partition}: retention deleted {gap.end - gap.start} offsets from {gap.start} on before "
            "they were read (markers of transactions count): send again what is missing, and see why no worker read it"
        )
        event = AlertRaised(alert=name, severity="critical", summary=text[:120], detail=text, at_ms=clock.now_ms())
        try:
            await self._producer.send(self._topic, event, id=f"{name}/{gap.partition}/{gap.start}", source=_SOURCE)
        except TopicError as error:
            log.warning("the bus did not take the alert %s, which is sent again: %s", name, error)
            self._gaps.give_back(gap)

    def _soon(self, name: str, text: str) -> None:
        now = clock.monotonic()
        if now - self._asked.get(name, -_ASK_S) < _ASK_S:
            return
        self._asked[name] = now
        self._spawn(self._raise(AlertRaised(alert=name, summary=text[:120], detail=text[:1000], at_ms=clock.now_ms())))

    async def _raise(self, event: AlertRaised) -> None:
        """Raise an alert that is not open; its id counts how often it was raised before."""
        home = self._homes.place("default", event.alert)
        if home is None:
            return
        response = await self._homes.get(f"{home}/owner/tables/alerts/{quote(event.alert, safe='')}", _ANSWER_S)
        if response is None or response.status not in (OK, NOT_FOUND):
            why = "its owner does not answer" if response is None else f"its owner answers {response.status}"
            log.info("%s is left to the health check: %s", event.alert, why)
            return
        value = orjson.loads(response.body)["value"] if response.status == OK else {}
        if not value.get("open"):
            await self._send(event, f"{event.alert}/{value.get('times', 0)}", _SOURCE)

    async def _send(self, event: Event, id: str, source: str | None = None) -> None:
        try:
            await self._producer.send(self._topic, event, id=id, source=source)
        except TopicError as error:
            log.warning("the bus did not take an alert, which the next health check finds: %s", error)
