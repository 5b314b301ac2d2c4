"""Every metric of the product, with its name, unit, labels and help: what is not declared here is not exported.

A name ends with its unit. Prometheus adds `_total` to a counter.
"""

from __future__ import annotations

import bisect
import itertools
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
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
    process: Literal["gateway", "worker", "gateway and worker"] = "worker"


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

    def collector(self, registry: CollectorRegistry) -> Histogram:
        """Return a histogram in a registry."""
        return Histogram(self.name, self.help, self.labels, buckets=self.buckets, registry=registry)


class Observations:
    """The values that a histogram has seen, by the values of its labels; one thread adds, any thread reads.

    A worker observes several values for each run, so adding one is a search in the bounds and no lock.
    """

    def __init__(self, metric: HistogramMetric) -> None:
        """Count for `metric`."""
        self._metric = metric
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Add a value; `labels` are the values of the metric's labels, in their order."""
        counts = self._counts.get(labels)
        if counts is None:
            self._sums[labels] = 0.0
            counts = self._counts[labels] = [0] * (len(self._metric.buckets) + 1)
        counts[bisect.bisect_left(self._metric.buckets, value)] += 1
        self._sums[labels] += value

    def family(self) -> HistogramMetricFamily:
        """Return one sample for each combination of labels that was observed; without labels always one."""
        metric = self._metric
        found = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        bounds = [*map(str, metric.buckets), "+Inf"]
        counted = dict(self._counts)
        if not metric.labels:
            counted.setdefault((), [0] * len(bounds))
        for labels, counts in counted.items():
            cumulative = itertools.accumulate(counts)
            found.add_metric(labels, list(zip(bounds, cumulative, strict=True)), self._sums.get(labels, 0.0))
        return found


SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for what takes milliseconds."""
LONG_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
"""Bounds for runs and steps, which take milliseconds or hours."""

BUILD_INFO: Final = GaugeMetric(
    "streams_build_info",
    "Always 1; the version of the product and of Python",
    labels=("version", "python"),
    process="gateway and worker",
)


def build_info() -> GaugeMetricFamily:
    """Return the sample of `BUILD_INFO` for this process."""
    return BUILD_INFO.family([((version("streams"), platform.python_version()), 1)])


DEAD_LETTERS: Final = CounterMetric(
    "streams_dead_letters",
    "Dead letters written, by the agent, reaction, table, schedule or source that gave up",
    labels=("consumer",),
    process="gateway and worker",
)

GATEWAY_REQUESTS: Final = CounterMetric(
    "streams_gateway_requests", "Requests answered", labels=("method", "route", "status"), process="gateway"
)
GATEWAY_REQUEST_SECONDS: Final = HistogramMetric(
    "streams_gateway_request_seconds",
    "Time to answer",
    "seconds",
    ("route",),
    "gateway",
    SECONDS,
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
WEBHOOK_DELIVERIES: Final = CounterMetric(
    "streams_webhook_deliveries",
    "Webhook deliveries answered: accepted, duplicate, refused (not verified), failed (the source raised), or error",
    labels=("source", "outcome"),
    process="gateway",
)

RUNS_STARTED: Final = CounterMetric("streams_runs_started", "Runs whose function has begun", labels=("agent",))
RUNS_ENDED: Final = CounterMetric(
    "streams_runs_ended", "Endings of runs; a run that is resumed may end again", labels=("agent", "outcome")
)
RUN_DURATION: Final = HistogramMetric(
    "streams_run_duration_seconds",
    "Time from the submission of a run to its end",
    "seconds",
    ("agent",),
    buckets=LONG_SECONDS,
)
RUN_QUEUE: Final = HistogramMetric(
    "streams_run_queue_seconds",
    "Time from the moment when a run was due to its start",
    "seconds",
    ("agent",),
    buckets=LONG_SECONDS,
)
RUNS_WAITING: Final = GaugeMetric(
    "streams_runs_waiting",
    "Runs that are not at work, by what they wait for: queued, retry, budget, approval, signal, sleep, child or "
    "unserved (this worker lacks the agent)",
    labels=("agent", "reason"),
)
STEP_DURATION: Final = HistogramMetric(
    "streams_step_duration_seconds",
    "Time of the last attempt of a step, tool call or model call",
    "seconds",
    ("agent", "kind"),
    buckets=LONG_SECONDS,
)
STEP_RETRIES: Final = CounterMetric(
    "streams_step_retries", "Attempts that failed and are tried again", labels=("agent", "kind")
)
MODEL_CALLS: Final = CounterMetric(
    "streams_model_calls",
    "Model calls: ok, error (the last attempt failed) or recorded (answered by the record of an earlier call)",
    labels=("agent", "model", "outcome"),
)
MODEL_TOKENS: Final = CounterMetric(
    "streams_model_tokens", "Tokens of model calls: input or output", labels=("agent", "model", "kind")
)
MODEL_COST: Final = CounterMetric(
    "streams_model_cost_usd", "Cost of model calls whose price is known", "usd", labels=("agent", "model")
)
TOOL_CALLS: Final = CounterMetric(
    "streams_tool_calls",
    "Tool calls: ok, error, or recorded (answered by the record of an earlier call)",
    labels=("tool", "outcome"),
)

CONSUMER_LAG: Final = GaugeMetric(
    "streams_consumer_lag_records",
    "Offsets between what this worker has read of its partitions and their end, as of the last look",
    "records",
    ("topic",),
)
REBALANCES: Final = CounterMetric("streams_rebalances", "Changes of the partitions that this worker owns")
RESTORE: Final = HistogramMetric(
    "streams_restore_seconds",
    "Time from the assignment of a partition until it is served",
    "seconds",
    buckets=LONG_SECONDS,
)
TRANSACTIONS: Final = CounterMetric(
    "streams_transactions", "Transactions of this worker: committed, aborted or refused", labels=("outcome",)
)
TRANSACTION_SECONDS: Final = HistogramMetric(
    "streams_transaction_seconds", "Time of one transaction, its stores included", "seconds", buckets=SECONDS
)
STORE_BYTES: Final = GaugeMetric(
    "streams_store_bytes", "Size of the store files of a partition on disk", "bytes", ("partition",)
)
BUDGET_LEFT: Final = GaugeMetric(
    "streams_budget_left", "What is left of a budget today: tokens, usd or calls", labels=("scope", "unit")
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
