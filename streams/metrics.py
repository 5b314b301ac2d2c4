"""Every metric of the product, with its name, unit, labels and help: what is not declared here is not exported.

A name ends with its unit. Prometheus adds `_total` to a counter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """What is the same for each kind of metric; `process` serves it."""

    name: str
    help: str
    unit: str = ""
    labels: tuple[str, ...] = ()
    process: Literal["gateway", "worker"] = "worker"


@dataclass(frozen=True, slots=True)
class CounterMetric(MetricDefinition):
    """A number that only grows."""

    def family(self, samples: Iterable[tuple[Sequence[str], float]]) -> CounterMetricFamily:
        """Return the samples, each the values of the labels and a number."""
        found = CounterMetricFamily(self.name, self.help, labels=self.labels)
        for labels, value in samples:
            found.add_metric(labels, value)
        return found

    def collector(self, registry: CollectorRegistry) -> Counter:
        """Return a counter in a registry."""
        return Counter(self.name, self.help, self.labels, registry=registry)


@dataclass(frozen=True, slots=True)
class GaugeMetric(MetricDefinition):
    """A number that grows and shrinks."""

    def family(self, samples: Iterable[tuple[Sequence[str], float]]) -> GaugeMetricFamily:
        """Return the samples, each the values of the labels and a number."""
        found = GaugeMetricFamily(self.name, self.help, labels=self.labels)
        for labels, value in samples:
            found.add_metric(labels, value)
        return found

    def collector(self, registry: CollectorRegistry) -> Gauge:
        """Return a gauge in a registry."""
        return Gauge(self.name, self.help, self.labels, registry=registry)


@dataclass(frozen=True, slots=True)
class HistogramMetric(MetricDefinition):
    """How often a value fell below each of the upper bounds `buckets`."""

    buckets: tuple[float, ...] = ()

    def family(self, counts: Sequence[int], total: float) -> HistogramMetricFamily:
        """Return one sample: `counts` are cumulative, one for each bucket and one for all; `total` is the sum."""
        bounds = [*map(str, self.buckets), "+Inf"]
        return HistogramMetricFamily(self.name, self.help, list(zip(bounds, counts, strict=True)), total)

    def collector(self, registry: CollectorRegistry) -> Histogram:
        """Return a histogram in a registry."""
        return Histogram(self.name, self.help, self.labels, buckets=self.buckets, registry=registry)


GATEWAY_REQUESTS: Final = CounterMetric(
    "streams_gateway_requests", "Requests answered", labels=("method", "route", "status"), process="gateway"
)
GATEWAY_REQUEST_SECONDS: Final = HistogramMetric(
    "streams_gateway_request_seconds",
    "Time to answer",
    "seconds",
    ("route",),
    "gateway",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
GATEWAY_UNDER_WAY: Final = GaugeMetric(
    "streams_gateway_requests_under_way", "Requests not yet answered", process="gateway"
)
GATEWAY_DUPLICATES: Final = CounterMetric(
    "streams_gateway_duplicate_deliveries", "Webhook deliveries seen before", labels=("source",), process="gateway"
)
GATEWAY_REFUSED: Final = CounterMetric(
    "streams_gateway_refused_signatures", "Webhook deliveries not signed well", labels=("source",), process="gateway"
)
GATEWAY_FAILED: Final = CounterMetric(
    "streams_gateway_failed_mappings",
    "Webhook deliveries that a source failed on",
    labels=("source",),
    process="gateway",
)

PARTITIONS: Final = GaugeMetric("streams_worker_partitions", "Partition numbers owned")
RUNS_IN_MEMORY: Final = GaugeMetric("streams_worker_runs_in_memory", "Runs with a machine in memory")
RUNS_EXECUTING: Final = GaugeMetric("streams_worker_runs_executing", "Runs that hold a place")
RUNS_QUEUED: Final = GaugeMetric("streams_worker_runs_queued", "Runs that wait for a place", labels=("agent",))
TIMERS: Final = GaugeMetric("streams_worker_timers", "Timers that wait")
EFFECTS_RUNNING: Final = GaugeMetric("streams_worker_effects_running", "Attempts under way")
DELETED_UNREAD: Final = CounterMetric(
    "streams_worker_deleted_unread", "Offsets that retention deleted before they were read", labels=("topic",)
)
COMMITS: Final = CounterMetric("streams_worker_commits", "Transactions committed")
COMMITTED_RECORDS: Final = CounterMetric("streams_worker_committed_records", "Records committed")
STANDBY_LAG: Final = GaugeMetric(
    "streams_worker_standby_lag_records", "How far a copy is behind its changelogs", "records", ("partition",)
)
LOOP_LAG: Final = HistogramMetric(
    "streams_worker_loop_lag_seconds",
    "How late the event loop comes back",
    "seconds",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5),
)
FUNCTIONS: Final = GaugeMetric(
    "streams_worker_functions", "Plain functions of users that have a thread or wait for one", labels=("state",)
)
OLDEST_FUNCTION: Final = GaugeMetric(
    "streams_worker_oldest_function_seconds", "For how long the oldest plain function has run", "seconds"
)

LIMIT_WAITING: Final = GaugeMetric("streams_limit_waiting", "Calls and runs that wait for a grant", labels=("limit",))
PERMITS_HELD: Final = GaugeMetric("streams_limit_places_held", "Permits that are held here", labels=("limit",))
PERMITS_WANTED: Final = GaugeMetric(
    "streams_limit_places_wanted", "Calls and runs that wait for a permit here", labels=("limit",)
)
BREAKER_STATE: Final = GaugeMetric("streams_breaker_state", "0 closed, 1 half-open, 2 open", labels=("tool",))
SHARED_FOUND: Final = CounterMetric("streams_shared_answers_found", "Tool calls answered by another")
SHARED_MADE: Final = CounterMetric("streams_shared_answers_made", "Tool calls made and shared")
KEYS_WAITING: Final = GaugeMetric("streams_keys_waiting", "Runs that wait for a concurrency key")

SLOTS_FIRED: Final = CounterMetric("streams_schedule_fired", "Slots that fired", labels=("schedule",))
SLOTS_FAILED: Final = CounterMetric(
    "streams_schedule_failed", "Slots whose function was given up", labels=("schedule",)
)
SLOTS_MISSED: Final = CounterMetric(
    "streams_schedule_missed", "Slots that were too long ago when a worker could fire them", labels=("schedule",)
)
SLOTS_SKIPPED: Final = CounterMetric(
    "streams_schedule_skipped", "Slots left out because an earlier one's run went on", labels=("schedule",)
)
