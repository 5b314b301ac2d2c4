"""What the gateway counts about itself, under names that dashboards rely on."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Meter:
    """The counters of one gateway, in a registry of their own so that two gateways in a process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "streams_gateway_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "streams_gateway_request_seconds", "Time to answer", ["route"], buckets=_BUCKETS, registry=self.registry
        )
        self.under_way = 0
        """Requests not yet answered."""
        gauge = Gauge("streams_gateway_requests_under_way", "Requests not yet answered", registry=self.registry)
        gauge.set_function(lambda: self.under_way)
        self._duplicates = Counter(
            "streams_gateway_duplicate_deliveries", "Webhook deliveries seen before", ["source"], registry=self.registry
        )
        self._refused = Counter(
            "streams_gateway_refused_signatures",
            "Webhook deliveries not signed well",
            ["source"],
            registry=self.registry,
        )
        self._failed = Counter(
            "streams_gateway_failed_mappings",
            "Webhook deliveries that a source failed on",
            ["source"],
            registry=self.registry,
        )
        self._children: dict[tuple[str, str, int], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer; looking label sets up costs more than counting, so they are kept."""
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
