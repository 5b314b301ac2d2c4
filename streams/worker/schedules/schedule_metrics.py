"""What schedules count, in Prometheus' terms: kept in their rows, so it does not begin anew with another owner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, Metric

if TYPE_CHECKING:
    from streams.worker.schedules.schedules import OwnedSchedules


class ScheduleMetrics:
    """A collector over the schedules that this worker owns."""

    def __init__(self, schedules: OwnedSchedules) -> None:
        """Read from `schedules`."""
        self._schedules = schedules

    def collect(self) -> Iterator[Metric]:
        """Yield the counts as they are now."""
        rows = self._schedules.rows()
        families = {
            "fired": CounterMetricFamily("streams_schedule_fired", "Slots that fired", labels=["schedule"]),
            "failed": CounterMetricFamily(
                "streams_schedule_failed", "Slots whose function was given up", labels=["schedule"]
            ),
            "missed": CounterMetricFamily(
                "streams_schedule_missed",
                "Slots that were too long ago when somebody could fire them",
                labels=["schedule"],
            ),
            "skipped": CounterMetricFamily(
                "streams_schedule_skipped",
                "Slots left out because an earlier one's run went on",
                labels=["schedule"],
            ),
        }
        for name, family in families.items():
            for row in rows:
                family.add_metric([row["name"]], row[name])
            yield family
