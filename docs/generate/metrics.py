"""Metrics, from the module that declares them."""

from __future__ import annotations

from docs.generate.markdown import code, table
from streams import metrics
from streams.metrics import CounterMetric, GaugeMetric, HistogramMetric, MetricDefinition

INTRODUCTION = """# Metrics

The gateway and each worker serve `GET /metrics` in the text format of Prometheus. A counter's name ends with
`_total`, a histogram has the series `_bucket`, `_sum` and `_count`.

"""


def page() -> str:
    """Return the page."""
    rows = [
        (code(series(one)), kind(one), one.unit, one.process, ", ".join(map(code, one.labels)), one.help)
        for one in declared()
    ]
    return INTRODUCTION + table(("metric", "kind", "unit", "served by", "labels", "meaning"), rows)


def declared() -> list[MetricDefinition]:
    """Return every metric of the product, by name."""
    found = [one for one in vars(metrics).values() if isinstance(one, MetricDefinition)]
    return sorted(found, key=lambda one: one.name)


def series(metric: MetricDefinition) -> str:
    """Return the name under which Prometheus stores a metric."""
    return f"{metric.name}_total" if isinstance(metric, CounterMetric) else metric.name


def kind(metric: MetricDefinition) -> str:
    """Return the word of Prometheus for a metric."""
    return {CounterMetric: "counter", GaugeMetric: "gauge", HistogramMetric: "histogram"}[type(metric)]
