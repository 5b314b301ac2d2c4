"""The metrics of a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest

from streams.metrics import (
    DEAD_LETTERS,
    GATEWAY_DUPLICATES,
    GATEWAY_FAILED,
    GATEWAY_REFUSED,
    GATEWAY_REQUEST_SECONDS,
    GATEWAY_REQUESTS,
    GATEWAY_UNDER_WAY,
    WEBHOOK_DELIVERIES,
    build_info,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Counter, Histogram
    from prometheus_client.core import Metric


class _Build:
    """A collector of what does not change."""

    def collect(self) -> Iterator[Metric]:
        """Yield the version."""
        yield build_info()


class GatewayMetrics:
    """The counters of one gateway, in a registry of their own so that two gateways in a process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = GATEWAY_REQUESTS.collector(self.registry)
        self._seconds = GATEWAY_REQUEST_SECONDS.collector(self.registry)
        self.under_way = 0
        """Requests not yet answered."""
        GATEWAY_UNDER_WAY.collector(self.registry).set_function(lambda: self.under_way)
        self._duplicates = GATEWAY_DUPLICATES.collector(self.registry)
        self._refused = GATEWAY_REFUSED.collector(self.registry)
        self._failed = GATEWAY_FAILED.collector(self.registry)
        self._deliveries = WEBHOOK_DELIVERIES.collector(self.registry)
        self._dead_letters = DEAD_LETTERS.collector(self.registry)
        self.registry.register(_Build())
        self._children: dict[tuple[str, str, int], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer; a look-up of labels costs more than the count, so each is done once."""
        key = (method, route, status)
        counter = self._children.get(key)
        if counter is None:
            counter = self._children[key] = self._requests.labels(method, route, str(status))
            self._timers.setdefault(route, self._seconds.labels(route))
        counter.inc()
        self._timers[route].observe(seconds)

    def duplicate(self, source: str) -> None:
        """Count a delivery that was seen before."""
        self._duplicates.labels(source).inc()
        self._deliveries.labels(source, "duplicate").inc()

    def accepted(self, source: str) -> None:
        """Count a delivery that was written and answered with 202."""
        self._deliveries.labels(source, "accepted").inc()

    def not_written(self, source: str) -> None:
        """Count a verified delivery that was refused for its content or could not be written."""
        self._deliveries.labels(source, "error").inc()

    def refused(self, source: str) -> None:
        """Count a delivery with a bad signature."""
        self._refused.labels(source).inc()
        self._deliveries.labels(source, "refused").inc()

    def failed(self, source: str) -> None:
        """Count a delivery whose mapping raised: it is a dead letter, and answered with 202."""
        self._failed.labels(source).inc()
        self._deliveries.labels(source, "failed").inc()

    def dead_letter(self, consumer: str) -> None:
        """Count a dead letter that is on the log."""
        self._dead_letters.labels(consumer).inc()

    def text(self) -> bytes:
        """Return everything in the Prometheus text format."""
        return generate_latest(self.registry)
