"""The one module of metrics: names that Prometheus takes, units in them, and samples with the labels of each."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from docs.generate.metrics import declared, series
from streams.metrics import (
    COMMITS,
    DELETED_UNREAD,
    LOOP_LAG,
    RUNS_QUEUED,
    STEP_DURATION,
    CounterMetric,
    GaugeMetric,
    Observations,
)

BOTH = {"streams_build_info", "streams_dead_letters"}


@pytest.mark.parametrize("metric", declared(), ids=lambda one: one.name)
def test_a_metric_has_a_name_with_its_unit_and_a_help(metric: CounterMetric) -> None:
    assert re.fullmatch(r"streams_[a-z_]+[a-z]", metric.name)
    assert metric.name.endswith(metric.unit)
    assert metric.help
    by_gateway = metric.name.startswith(("streams_gateway_", "streams_webhook_"))
    assert metric.process == ("gateway and worker" if metric.name in BOTH else "gateway" if by_gateway else "worker")


def test_no_name_is_used_twice() -> None:
    names = [series(one) for one in declared()]
    assert sorted(set(names)) == sorted(names)


def test_samples_have_the_labels_of_their_metric() -> None:
    queued = RUNS_QUEUED.family([(("research",), 3)])
    assert [(one.name, one.labels, one.value) for one in queued.samples] == [
        ("streams_worker_runs_queued", {"agent": "research"}, 3)
    ]
    deleted = DELETED_UNREAD.family([(("events",), 2)])
    assert [(one.name, one.labels) for one in deleted.samples] == [
        ("streams_worker_deleted_unread_total", {"topic": "events"})
    ]
    assert [(one.name, one.labels, one.value) for one in COMMITS.family([((), 7)]).samples] == [
        ("streams_worker_commits_total", {}, 7)
    ]


def test_a_histogram_counts_for_each_bucket_and_for_all() -> None:
    observed = Observations(LOOP_LAG)
    assert {one.value for one in observed.family().samples} == {0}
    for value in (0.0, 0.001, 0.3, 99.0):
        observed.observe(value)
    samples = observed.family().samples
    counts = {one.labels["le"]: one.value for one in samples if one.name.endswith("_bucket")}
    assert (counts["0.001"], counts["0.25"], counts["0.5"], counts["+Inf"]) == (2, 2, 3, 4)
    assert [one.value for one in samples if one.name.endswith("_sum")] == [99.301]


def test_a_histogram_with_labels_has_a_sample_for_each_combination_seen() -> None:
    observed = Observations(STEP_DURATION)
    assert observed.family().samples == []
    observed.observe(1.0, "research", "llm")
    observed.observe(2.0, "research", "tool")
    counts = [one for one in observed.family().samples if one.name.endswith("_count")]
    assert [(one.labels, one.value) for one in counts] == [
        ({"agent": "research", "kind": "llm"}, 1),
        ({"agent": "research", "kind": "tool"}, 1),
    ]


def test_a_collector_is_in_the_registry_that_it_is_given() -> None:
    registry = CollectorRegistry()
    GaugeMetric("streams_test_size_bytes", "Size", "bytes", ("kind",)).collector(registry).labels("x").set(2)
    assert b'streams_test_size_bytes{kind="x"} 2.0' in generate_latest(registry)
