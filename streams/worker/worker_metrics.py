"""What a worker counts, in Prometheus' terms; read when asked, so that counting costs nothing in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from streams.runtime.runtime import Runtime
    from streams.worker.runs.dispatcher import RunDispatcher
    from streams.worker.runs.effects import EffectRunner
    from streams.worker.runs.run_manager import RunManager
    from streams.worker.runs.run_timers import RunTimers


class WorkerMetrics:
    """A collector over the parts of a worker."""

    def __init__(
        self, runtime: Runtime, manager: RunManager, dispatcher: RunDispatcher, timers: RunTimers, effects: EffectRunner
    ) -> None:
        """Read from these parts."""
        self._runtime = runtime
        self._manager = manager
        self._dispatcher = dispatcher
        self._timers = timers
        self._effects = effects

    def collect(self) -> Iterator[Metric]:
        """Yield all figures as they are now."""
        yield GaugeMetricFamily("streams_worker_partitions", "Partition numbers owned", len(self._runtime.assignments))
        yield GaugeMetricFamily(
            "streams_worker_runs_in_memory", "Runs with a machine in memory", len(self._manager.live)
        )
        yield GaugeMetricFamily("streams_worker_runs_executing", "Runs that hold a place", self._dispatcher.executing())
        yield GaugeMetricFamily("streams_worker_timers", "Timers that wait", len(self._timers))
        yield GaugeMetricFamily("streams_worker_effects_running", "Attempts under way", self._effects.running)
        queued = GaugeMetricFamily("streams_worker_runs_queued", "Runs that wait for a place", labels=["agent"])
        for agent, count in self._dispatcher.queued().items():
            queued.add_metric([agent], count)
        yield queued
        lost = CounterMetricFamily(
            "streams_worker_deleted_unread", "Offsets that retention deleted before they were read", labels=["topic"]
        )
        for topic, count in self._runtime.gaps.offsets.items():
            lost.add_metric([topic], count)
        yield lost
        if self._runtime.standbys is not None:
            yield from self._runtime.standbys.collect()
        if self._runtime.opened.is_set():
            committer = self._runtime.committer
            yield CounterMetricFamily("streams_worker_commits", "Transactions committed", committer.commits)
            yield CounterMetricFamily("streams_worker_committed_records", "Records committed", committer.records)


def register(
    registry: CollectorRegistry,
    runtime: Runtime,
    manager: RunManager,
    dispatcher: RunDispatcher,
    timers: RunTimers,
    effects: EffectRunner,
) -> None:
    """Add the worker's figures to `registry`."""
    registry.register(WorkerMetrics(runtime, manager, dispatcher, timers, effects))
