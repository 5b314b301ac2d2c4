"""What a worker counts, in Prometheus' terms; read when asked, so that counting costs nothing in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from streams.metrics import (
    BUDGET_LEFT,
    COMMITS,
    COMMITTED_RECORDS,
    CONSUMER_LAG,
    DEAD_LETTERS,
    DELETED_UNREAD,
    EFFECTS_RUNNING,
    PARTITIONS,
    REBALANCES,
    RUNS_EXECUTING,
    RUNS_IN_MEMORY,
    RUNS_QUEUED,
    STORE_BYTES,
    TIMERS,
    TRANSACTIONS,
    build_info,
)

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from streams.limits.budget_homes import BudgetHomes
    from streams.runtime.runtime import Runtime
    from streams.runtime.watchdog import StallWatch
    from streams.worker.runs.dispatcher import RunDispatcher
    from streams.worker.runs.effects import EffectRunner
    from streams.worker.runs.run_manager import RunManager
    from streams.worker.runs.run_timers import RunTimers


class WorkerMetrics:
    """A collector over the parts of a worker."""

    def __init__(
        self,
        runtime: Runtime,
        manager: RunManager,
        dispatcher: RunDispatcher,
        timers: RunTimers,
        effects: EffectRunner,
        *,
        lags: StallWatch,
        dead_letters: Mapping[str, int],
        budgets: BudgetHomes,
    ) -> None:
        """Read from these parts; `dead_letters` are those written, by consumer."""
        self._runtime = runtime
        self._manager = manager
        self._dispatcher = dispatcher
        self._timers = timers
        self._effects = effects
        self._lags = lags
        self._dead_letters = dead_letters
        self._budgets = budgets

    def collect(self) -> Iterator[Metric]:
        """Yield all figures as they are now."""
        yield build_info()
        yield PARTITIONS.family([((), len(self._runtime.assignments))])
        yield RUNS_IN_MEMORY.family([((), len(self._manager.live))])
        yield RUNS_EXECUTING.family([((), self._dispatcher.executing())])
        yield TIMERS.family([((), len(self._timers))])
        yield EFFECTS_RUNNING.family([((), self._effects.running)])
        yield RUNS_QUEUED.family(((agent,), count) for agent, count in self._dispatcher.queued().items())
        yield DEAD_LETTERS.family(((consumer,), count) for consumer, count in self._dead_letters.items())
        yield BUDGET_LEFT.family(self._budgets.left_today())
        yield from self._of_runtime()

    def _of_runtime(self) -> Iterator[Metric]:
        runtime = self._runtime
        lag: Counter[str] = Counter()
        for (topic, _), count in self._lags.lags.items():
            lag[topic] += count
        yield CONSUMER_LAG.family(((topic,), count) for topic, count in lag.items())
        yield DELETED_UNREAD.family(((topic,), count) for topic, count in runtime.gaps.offsets.items())
        yield REBALANCES.family([((), runtime.rebalances)])
        yield runtime.ownership.restore_seconds.family()
        yield STORE_BYTES.family(((str(number),), size) for number, size in runtime.store_sizes())
        if runtime.standbys is not None:
            yield from runtime.standbys.collect()
        committer = runtime.committer
        yield committer.seconds.family()
        yield TRANSACTIONS.family(
            [
                (("committed",), committer.commits),
                (("aborted",), committer.aborts),
                (("refused",), committer.refused_records),
            ]
        )
        yield COMMITS.family([((), committer.commits)])
        yield COMMITTED_RECORDS.family([((), committer.records)])
