"""The metrics of a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest

from streams.metrics import (
    GATEWAY_DUPLICATES,
    GATEWAY_FAILED,
    GATEWAY_REFUSED,
    GATEWAY_REQUEST_SECONDS,
    GATEWAY_REQUESTS,
    GATEWAY_UNDER_WAY,
)

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram


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

    def refused(self, source: str) -> None:
        """Count a delivery with a bad signature."""
        self._refused.labels(source).inc()

    def failed(self, source: str) -> None:
        """Count a delivery whose mapping raised."""
        self._failed.labels(source).inc()

    def text(self) -> bytes:
        """Return everything in the Prometheus text format."""
        return generate_latest(self.registry)
