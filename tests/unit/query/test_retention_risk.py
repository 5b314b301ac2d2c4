"""What is about to be deleted before it was read, and which groups are asked before anything is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streams.app import Catalog
from streams.query import retention_risk
from streams.schedules.cleanup import cleanup_old_events
from streams.settings import Settings
from tests.unit.gateway._gateway import catalog
from topics import groups as topic_groups
from topics.reader import Time

HOUR = 3600 * 1000
WEEK = 168 * HOUR
NOW = 1_000 * WEEK

Done = dict[tuple[str, int], int]


class Cluster:
    """One partition a topic: its records are their times; and what groups have committed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.records: dict[str, list[int | None]] = {}  # None: a marker of a transaction
        self.done: dict[str, Done] = {}
        self.kept: dict[str, str] = {}
        self.dropped: list[tuple[str, int, list[Mapping[Any, int]]]] = []
        for name in ("describe", "committed", "groups", "offsets", "read"):
            monkeypatch.setattr(retention_risk, name, getattr(self, name))
        monkeypatch.setattr(topic_groups, "drop_before", self.drop_before)
        self.settings = cast("Settings", SimpleNamespace(kafka=lambda: None, topic_prefix="", apps=()))

    def describe(self, _kafka: object, names: list[str]) -> dict[str, Any]:
        return {name: SimpleNamespace(config={"retention.ms": self.kept.get(name, str(WEEK))}) for name in names}

    def committed(self, _kafka: object, group: str) -> Done:
        return self.done.get(group, {})

    def groups(self, _kafka: object, prefix: str) -> list[str]:
        return [name for name in sorted(self.done) if name.startswith(prefix)]

    def offsets(self, _kafka: object, topic: str, position: object) -> dict[int, int]:
        times = self.records.get(topic, [])
        if position == "earliest":
            return {0: 0}
        assert isinstance(position, Time)
        return {0: next((at for at, ms in enumerate(times) if ms is not None and ms >= position.ms), len(times))}

    def read(self, _kafka: object, topic: str, *, start: int, end: dict[int, int], **_: object) -> list[Any]:
        times = self.records[topic][start : end[0]]
        return [SimpleNamespace(timestamp=ms) for ms in times if ms is not None][:1]

    def drop_before(self, _kafka: object, topic: str, ms: int, done: Any) -> dict[int, int]:
        self.dropped.append((topic, ms, list(done)))
        return {}

    def close(self) -> str | None:
        return retention_risk.close_to_deletion(self.settings, catalog(), NOW)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


def test_the_pools_that_read_the_bus_are_those_of_reactions_and_of_tables_that_fold_events() -> None:
    assert catalog().bus_pools() == ("default", "scraper")
    assert Catalog().bus_pools() == ("default",)


def test_all_pools_are_asked_also_those_that_have_read_nothing(cluster: Cluster) -> None:
    cluster.done = {
        "streams.default": {("events", 0): 9},
        "streams.elsewhere": {("events", 0): 4},
        "streams.agents-only": {("signals", 0): 4},
    }
    assert retention_risk.bus_groups(cluster.settings, catalog()) == {
        "streams.default": {("events", 0): 9},
        "streams.elsewhere": {("events", 0): 4},
        "streams.scraper": {},
    }


@pytest.mark.parametrize("kept", [WEEK, 4 * WEEK])
def test_the_clean_up_asks_all_of_them_and_keeps_what_the_cluster_is_to_keep(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr("streams.settings.load", lambda: cluster.settings)
    monkeypatch.setattr("streams.app.discover", lambda _apps: catalog())
    monkeypatch.setattr("streams.clock.now_ms", lambda: NOW)
    cluster.kept["events"] = str(kept)
    cluster.done = {"streams.default": {("events", 0): 9}}
    cleanup_old_events.fn()
    assert cluster.dropped == [("events", NOW - kept, [{("events", 0): 9}, {}])]


def test_a_topic_that_is_kept_for_ever_is_not_cleaned_up(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.settings.load", lambda: cluster.settings)
    cluster.kept["events"] = "-1"
    cleanup_old_events.fn()
    assert cluster.dropped == []


def test_a_record_that_a_pool_has_not_read_is_a_problem_after_half_its_retention(cluster: Cluster) -> None:
    cluster.records["events"] = [NOW - 100 * HOUR, NOW - 2 * HOUR]
    cluster.done = {"streams.default": {("events", 0): 2}, "streams.scraper": {("events", 0): 1}}
    assert cluster.close() is None
    cluster.done["streams.scraper"] = {}
    assert cluster.close() == "streams.scraper has not read events for 100 h; records are deleted after 168 h"
    cluster.kept["events"] = str(4 * WEEK)
    assert cluster.close() is None


def test_queues_and_signals_of_a_pool_without_workers_count_too(cluster: Cluster) -> None:
    cluster.records["agents.scraper"] = [NOW - 90 * HOUR]
    cluster.records["signals"] = [NOW - 90 * HOUR]
    cluster.done = {"streams.default": {("signals", 0): 1}}
    said = cluster.close()
    assert said is not None
    assert "streams.scraper has not read agents.scraper" in said
    assert "streams.scraper has not read signals" in said
    assert "streams.default" not in said


def test_the_markers_behind_the_last_record_are_nothing_unread(cluster: Cluster) -> None:
    cluster.records["events"] = [NOW - 100 * HOUR, None, None]
    cluster.done = {"streams.default": {("events", 0): 1}, "streams.scraper": {("events", 0): 1}}
    assert cluster.close() is None
