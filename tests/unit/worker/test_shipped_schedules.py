"""The schedules that ship: news of sources is told once, a problem once and its end once, and alerts are signed."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr

from schemas.alert import AlertRaised, AlertResolved
from schemas.bus import HealthCheckCompleted, NewDataArrived
from streams.define.verifiers import StandardWebhooks
from streams.engine.slots import Slots
from streams.reactions.alerts import tell_alert
from streams.schedules import monitor
from streams.schedules.cleanup import cleanup_old_events
from streams.schedules.health import changed_alerts, health_check
from streams.settings import Settings
from streams.tables.alerts import Alert, alerts
from streams.tables.data_sources import Seen, data_sources
from streams.tools import _sinks
from streams.tools.errors import FetchError
from streams.tools.exchange import Fetched

NOW = 1_000_000
HOUR = 3_600_000


def test_they_fire_when_they_say() -> None:
    assert Slots(monitor.monitor_data_sources).between(0, 3 * HOUR, 10) == [0, HOUR, 2 * HOUR]
    assert Slots(cleanup_old_events).next(0) == 2 * HOUR
    assert Slots(health_check).next(0) == 300_000


# -- sources


async def test_a_file_is_news_when_its_content_is_another(tmp_path: Path) -> None:
    file = tmp_path / "feed.csv"
    file.write_text("one")
    first = await monitor._look(str(file), None)
    assert first is not None
    assert (first.source, first.reference) == (str(file), file.as_uri())
    seen = data_sources.fn(None, first)
    assert await monitor._look(str(file), seen) is None
    file.write_text("two")
    second = await monitor._look(str(file), seen)
    assert second is not None
    assert data_sources.fn(seen, second).times == 2


async def test_a_page_is_asked_with_its_etag_and_told_of_by_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, str]] = []
    answers: list[tuple[int, bytes, dict[str, str]]] = [
        (200, b"a", {"etag": '"1"'}),
        (304, b"", {}),
        (200, b"a", {"etag": '"2"'}),
        (200, b"b", {}),
    ]

    async def fetch(url: str, *, headers: dict[str, str]) -> Fetched:
        asked.append(headers)
        status, body, given = answers[len(asked) - 1]
        return Fetched(url, status, given, body)

    monkeypatch.setattr(monitor, "fetch", fetch)
    url, seen, news = "https://example.org/feed", None, []
    for _ in answers:
        event = await monitor._look(url, seen)
        news.append(event is not None)
        seen = seen if event is None else data_sources.fn(seen, event)
    assert news == [True, False, False, True]
    assert asked[:2] == [{}, {"if-none-match": '"1"'}]


async def test_a_source_that_cannot_be_read_is_no_news_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def fetch(url: str, **_: Any) -> Fetched:
        raise FetchError(f"{url} is down")

    monkeypatch.setattr(monitor, "fetch", fetch)
    assert await monitor._look("https://example.org/", None) is None
    assert await monitor._look(str(tmp_path / "nothing"), None) is None


def test_news_of_others_is_not_remembered() -> None:
    seen = Seen(digest="x")
    assert data_sources.fn(seen, NewDataArrived(source="s", data={"rows": 3})) is seen
    assert data_sources.fn(None, NewDataArrived(source="s")) is None


# -- alerts


def folded(events: list[Any], known: dict[str, Alert]) -> dict[str, Alert]:
    rows = dict(known)
    for event in events:
        if isinstance(event, AlertRaised | AlertResolved):
            rows[event.alert] = alerts.fn(rows.get(event.alert), event)
    return rows


def test_a_problem_is_told_once_and_its_end_once_and_again_when_it_comes_back() -> None:
    lag = {"health/lag": "workers are behind"}
    known: dict[str, Alert] = {}
    said = []
    for found in ({}, lag, lag, {}, {}, lag):
        events = changed_alerts(found, known, NOW)
        assert isinstance(events[0], HealthCheckCompleted)
        assert events[0].healthy is not bool(found)
        said.append([event.event_type for event in events[1:]])
        known = folded(events, known)
    assert said == [[], ["alert.raised"], [], ["alert.resolved"], [], ["alert.raised"]]
    assert known["health/lag"].times == 2


def test_dead_letters_are_alerts_and_leave_the_pipeline_healthy_and_alerts_of_others_alone() -> None:
    known = {"budget/tokens": Alert(times=1, summary="spent")}
    events = changed_alerts({"dead/triage": "3 given up"}, known, NOW)
    assert [event.event_type for event in events] == ["health_check_completed", "alert.raised"]
    assert vars(events[0])["healthy"] is True


def caught(settings: Settings) -> tuple[list[httpx.Request], httpx.AsyncClient]:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(204)

    return requests, httpx.AsyncClient(transport=httpx.MockTransport(answer))


async def test_an_alert_is_posted_signed_and_to_a_chat() -> None:
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    settings = Settings(
        alert_webhook=SecretStr("https://example.org/a"),
        alert_webhook_secret=SecretStr(secret),
        alert_slack=SecretStr("https://example.org/s"),
    )
    event = AlertRaised(alert="health/lag", severity="warning", summary="workers are behind", at_ms=5)
    message = {"type": event.event_type, "data": event.model_dump(mode="json")}
    requests, client = caught(settings)
    assert await _sinks.deliver(settings, "a-1", message, client) == 2
    hook, chat = requests
    sent_s = float(hook.headers["webhook-timestamp"])
    assert StandardWebhooks().check(hook.headers, hook.content, [secret], sent_s)
    assert not StandardWebhooks().check(hook.headers, hook.content + b" ", [secret], sent_s)
    assert (hook.headers["webhook-id"], orjson.loads(hook.content)) == ("a-1", message)
    assert orjson.loads(chat.content) == {"text": "[warning] health/lag: workers are behind"}


async def test_a_sink_that_refuses_is_an_error_for_the_reactions_policy() -> None:
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(500)))
    message = {"type": "alert.resolved", "data": {"alert": "x", "summary": "y"}}
    with pytest.raises(httpx.HTTPError):
        await _sinks.deliver(Settings(alert_slack=SecretStr("https://example.org/s")), "a-1", message, client)


async def test_without_sinks_an_alert_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    await tell_alert.fn(AlertResolved(alert="health/lag", summary="workers are behind"))
    assert "[resolved] health/lag: workers are behind" in caplog.text
