"""What schedules count, in Prometheus' terms: stored in their rows, so it does not begin anew with another owner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from streams.metrics import SLOTS_FAILED, SLOTS_FIRED, SLOTS_MISSED, SLOTS_SKIPPED

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from streams.worker.schedules.schedules import OwnedSchedules

_METRICS: Final = {"fired": SLOTS_FIRED, "failed": SLOTS_FAILED, "missed": SLOTS_MISSED, "skipped": SLOTS_SKIPPED}


class ScheduleMetrics:
    """A collector over the schedules that this worker owns."""

    def __init__(self, schedules: OwnedSchedules) -> None:
        """Read from `schedules`."""
        self._schedules = schedules

    def collect(self) -> Iterator[Metric]:
        """Yield the counts as they are now."""
        rows = self._schedules.rows()
        for name, metric in _METRICS.items():
            yield metric.family(((row["name"],), row[name]) for row in rows)
