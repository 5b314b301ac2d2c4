"""Who owns what, as heartbeats tell."""

from __future__ import annotations

from typing import Any

from schemas.worker import WorkerHeartbeat
from streams.query.placement import FORGOTTEN_MS, HISTORY_MS, STALE_MS, Placement

NOW = 1_000_000_000


def beat(worker: str, *partitions: int, at_ms: int = NOW, pool: str = "default", **more: Any) -> WorkerHeartbeat:
    return WorkerHeartbeat(
        worker_id=worker,
        pool=pool,
        url=f"http://{worker}/",
        pid=1,
        host="h",
        started_ms=0,
        at_ms=at_ms,
        state="running",
        partitions=list(partitions),
        **more,
    )


def test_the_owner_is_who_claims_the_partition() -> None:
    placement = Placement()
    assert placement.apply("a", beat("a", 0, 1), NOW)
    placement.apply("b", beat("b", 2), NOW)
    assert placement.owner("default", 1, NOW) == "http://a"
    assert placement.owner("default", 2, NOW) == "http://b"
    assert placement.owner("default", 3, NOW) is None
    assert placement.owner("scraper", 1, NOW) is None
    assert placement.urls("default", NOW) == ["http://a", "http://b"]


def test_of_two_claims_the_later_counts() -> None:
    placement = Placement()
    placement.apply("a", beat("a", 0), NOW)
    placement.apply("b", beat("b", 0, at_ms=NOW + 500), NOW + 500)
    assert placement.owner("default", 0, NOW + 600) == "http://b"


def test_a_worker_that_beats_no_more_owns_nothing() -> None:
    placement = Placement()
    placement.apply("a", beat("a", 0), NOW)
    assert placement.owner("default", 0, NOW + STALE_MS) == "http://a"
    assert placement.owner("default", 0, NOW + STALE_MS + 1) is None
    assert placement.workers(NOW + STALE_MS + 1)[0]["alive"] is False
    assert placement.pools(NOW + STALE_MS + 1) == []


def test_a_tombstone_ends_a_worker_at_once() -> None:
    placement = Placement()
    placement.apply("a", beat("a", 0), NOW)
    assert placement.apply("a", None, NOW)
    assert not placement.apply("a", None, NOW)
    assert placement.owner("default", 0, NOW) is None


def test_only_changes_are_news() -> None:
    placement = Placement()
    placement.apply("a", beat("a", 0), NOW)
    assert not placement.apply("a", beat("a", 0, at_ms=NOW + 1000), NOW + 1000)
    assert placement.apply("a", beat("a", 0, 1, at_ms=NOW + 2000), NOW + 2000)
    assert placement.apply("a", beat("a", 0, 1, at_ms=NOW + 60_000), NOW + 60_000)


def test_a_workers_clock_may_be_wrong_by_minutes() -> None:
    placement = Placement()
    for second in range(3):
        placement.apply("a", beat("a", 0, at_ms=NOW - 300_000 + second * 1000), NOW + second * 1000)
    assert placement.owner("default", 0, NOW + 3000) == "http://a"


def test_beats_of_the_past_count_from_the_past() -> None:
    placement = Placement()
    for second in range(3):
        placement.apply("a", beat("a", 0, at_ms=NOW - HISTORY_MS - 10 + second), NOW)
    assert placement.owner("default", 0, NOW) is None


def test_default_is_the_first_pool() -> None:
    placement = Placement()
    for pool in ("z", "default", "a"):
        placement.apply(pool, beat(pool, 0, pool=pool), NOW)
    assert placement.pools(NOW) == ["default", "a", "z"]


def test_copies_are_with_live_workers_that_say_so() -> None:
    placement = Placement()
    placement.apply("a", beat("a", 0, 1, standbys=[2]), NOW)
    placement.apply("b", beat("b", 2, standbys=[0, 1]), NOW + 10)
    placement.apply("c", beat("c", standbys=[0], pool="scraper"), NOW + 10)
    assert placement.standbys("default", 0, NOW + 10) == ["http://b"]
    assert placement.standbys("default", 2, NOW + 10) == ["http://a"]
    assert placement.standbys("default", 3, NOW + 10) == []
    assert placement.standbys("default", 2, NOW + STALE_MS + 5) == []


def test_a_worker_that_leaves_is_no_member_any_more() -> None:
    placement = Placement()
    placement.apply("a", beat("a", 0, 1), NOW)
    placement.apply("b", beat("b"), NOW)
    placement.apply("s", beat("s", pool="scraper"), NOW)
    assert placement.members("default", NOW) == {"a": {0, 1}, "b": frozenset()}
    placement.apply("a", beat("a", at_ms=NOW + 1).model_copy(update={"state": "stopping"}), NOW + 1)
    assert placement.members("default", NOW + 1) == {"b": frozenset()}


def test_a_worker_that_beats_no_more_is_lost_and_forgotten_after_a_while() -> None:
    placement = Placement()
    placement.apply("a", beat("a", 0), NOW)
    placement.apply("b", beat("b", 1).model_copy(update={"state": "stopping"}), NOW)
    later = placement.workers(NOW + 60_000)
    assert [(one["worker_id"], one["state"], one["alive"], one["silent_s"]) for one in later] == [
        ("a", "lost", False, 60.0)
    ]
    assert placement.workers(NOW + FORGOTTEN_MS + 1) == []


def test_partitions_whose_owner_lacks_an_agent_are_known() -> None:
    placement = Placement()
    placement.apply("old", beat("old", 0, 2, agents=["a"]), NOW)
    placement.apply("new", beat("new", 1, agents=["a", "b"]), NOW)
    placement.apply("older", beat("older", 3), NOW)  # it does not say
    assert placement.unserved("default", "b", NOW) == [0, 2]
    assert placement.unserved("default", "a", NOW) == []
    assert placement.unserved("default", "b", NOW + STALE_MS + 1) == []
