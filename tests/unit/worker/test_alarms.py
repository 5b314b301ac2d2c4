"""What a worker raises at once: each problem once while its alert is open, under an id that all workers share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import orjson
import pytest

from schemas import Event
from schemas.dead import DeadLettered
from streams import clock
from streams.query.health import MOST_BEHIND
from streams.query.wire import WorkerResponse
from streams.runtime.retention_gaps import RetentionGap, RetentionGaps
from streams.worker.alarms import AlertWriter
from topics.errors import TopicError


class Scene:
    """The bus, and where the rows of alerts live."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)
        self.sent: list[tuple[str, str, str | None]] = []  # id, alert, source
        self.rows: dict[str, Any] = {}
        self.asked: list[str] = []
        self.away = False
        self.tasks: list[Coroutine[Any, Any, None]] = []
        self.refuses: TopicError | None = None
        self.gaps = RetentionGaps()
        self.alarms = AlertWriter(cast("Any", self), "t.events", self.tasks.append, self, self.gaps)

    async def send(self, topic: str, event: Event, *, id: str, source: str | None) -> None:
        assert topic == "t.events"
        if self.refuses is not None:
            raise self.refuses
        self.sent.append((id, vars(event)["alert"], source))

    def place(self, pool: str, limit: str) -> str | None:
        return None if self.away else f"http://{pool}"

    async def get(self, url: str, seconds: float) -> WorkerResponse | None:
        self.asked.append(url)
        row = self.rows.get(url.rpartition("/")[2])
        return WorkerResponse(404, b"") if row is None else WorkerResponse(row.get("status", 200), orjson.dumps(row))

    def settle(self) -> None:
        while self.tasks:
            asyncio.run(self.tasks.pop())


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def letter(consumer: str, run_id: str | None = None) -> DeadLettered:
    return DeadLettered(
        dead_id="d", source_topic="t", source_partition=0, source_offset=1, consumer=consumer, error="no", run_id=run_id
    )


def test_the_first_failure_is_raised_and_the_next_ones_are_not_even_asked_about(scene: Scene) -> None:
    for _ in range(3):
        scene.alarms.report_dead_letter(letter("table:tickets/x"))
        scene.settle()
    assert scene.sent == [("dead/table:tickets/x/0", "dead/table:tickets/x", "/streams/alarms")]
    assert scene.asked == ["http://default/owner/tables/alerts/dead%2Ftable%3Atickets%2Fx"]


def test_an_open_alert_is_not_raised_again_and_one_that_was_resolved_is(scene: Scene) -> None:
    scene.rows["dead%2Ftriage"] = {"value": {"open": True, "times": 1}}
    scene.alarms.report_dead_letter(letter("triage", "r-1"))
    scene.settle()
    assert scene.sent == []
    scene.rows["dead%2Ftriage"] = {"value": {"open": False, "times": 1}}
    scene.now += 31
    scene.alarms.report_dead_letter(letter("triage", "r-2"))
    scene.settle()
    assert scene.sent == [("dead/triage/1", "dead/triage", "/streams/alarms")]


def test_where_nobody_can_be_asked_it_is_left_to_the_health_check(scene: Scene) -> None:
    scene.away = True
    scene.alarms.report_dead_letter(letter("triage"))
    scene.settle()
    assert (scene.sent, scene.asked) == ([], [])
    scene.away = False
    scene.now += 31
    scene.rows["dead%2Ftriage"] = {"status": 503}
    scene.alarms.report_dead_letter(letter("triage"))
    scene.settle()
    assert (scene.sent, len(scene.asked)) == ([], 1)


def test_a_lag_that_lasts_for_two_looks_is_raised(scene: Scene) -> None:
    half = MOST_BEHIND // 2 + 1
    for lags in ({("a", 0): half, ("a", 1): half}, {("b", 0): 2 * half}, {("b", 0): half}, {("b", 0): 2 * half}):
        scene.alarms.behind(lags)
    assert scene.tasks == []
    scene.alarms.behind({("b", 0): 2 * half})
    scene.settle()
    assert scene.sent == [("health/lag/0", "health/lag", "/streams/alarms")]


def test_records_that_were_deleted_unread_are_an_alert_until_the_bus_has_it(scene: Scene) -> None:
    """Nobody else could find it again, so it is kept until it is written, and written once."""
    gaps, gap = scene.gaps, RetentionGap("agents.work", 2, 17, 20)
    gaps.found(gap)
    gaps.found(gap)
    assert gaps.offsets == {"agents.work": 3}
    scene.refuses = TopicError("no broker")
    scene.alarms.looked({})
    scene.settle()
    assert scene.sent == []
    scene.refuses = None
    for _ in range(3):
        scene.alarms.looked({})
        scene.settle()
    assert scene.sent == [("lost/agents.work/2/17", "lost/agents.work", "/streams/alarms")]
