"""What a worker counts, in Prometheus' terms; read when asked, so that counting costs nothing in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from streams.metrics import (
    COMMITS,
    COMMITTED_RECORDS,
    DELETED_UNREAD,
    EFFECTS_RUNNING,
    PARTITIONS,
    RUNS_EXECUTING,
    RUNS_IN_MEMORY,
    RUNS_QUEUED,
    TIMERS,
)

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

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
        yield PARTITIONS.family([((), len(self._runtime.assignments))])
        yield RUNS_IN_MEMORY.family([((), len(self._manager.live))])
        yield RUNS_EXECUTING.family([((), self._dispatcher.executing())])
        yield TIMERS.family([((), len(self._timers))])
        yield EFFECTS_RUNNING.family([((), self._effects.running)])
        yield RUNS_QUEUED.family(((agent,), count) for agent, count in self._dispatcher.queued().items())
        yield DELETED_UNREAD.family(((topic,), count) for topic, count in self._runtime.gaps.offsets.items())
        if self._runtime.standbys is not None:
            yield from self._runtime.standbys.collect()
        if self._runtime.opened.is_set():
            committer = self._runtime.committer
            yield COMMITS.family([((), committer.commits)])
            yield COMMITTED_RECORDS.family([((), committer.records)])


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
