"""What schedules count, in Prometheus' terms: kept in their rows, so it does not begin anew with another owner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, Metric

if TYPE_CHECKING:
    from streams.worker.schedules.schedules import OwnedSchedules

_COUNTS: Final = {
    "fired": "Slots that fired",
    "failed": "Slots whose function was given up",
    "missed": "Slots that were too long ago when somebody could fire them",
    "skipped": "Slots left out because an earlier one's run went on",
}


class ScheduleMetrics:
    """A collector over the schedules that this worker owns."""

    def __init__(self, schedules: OwnedSchedules) -> None:
        """Read from `schedules`."""
        self._schedules = schedules

    def collect(self) -> Iterator[Metric]:
        """Yield the counts as they are now."""
        rows = self._schedules.rows()
        for name, text in _COUNTS.items():
            family = CounterMetricFamily(f"streams_schedule_{name}", text, labels=["schedule"])
            for row in rows:
                family.add_metric([row["name"]], row[name])
            yield family
