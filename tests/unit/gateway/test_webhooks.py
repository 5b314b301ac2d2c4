"""Deliveries: who is believed, what is written, what a repeat does."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from typing import Any, Final
from urllib.parse import quote

import httpx
import orjson
import pytest

from schemas.dead import DeadLettered
from schemas.github import GithubIssueOpened
from schemas.run import RunSubmitted
from schemas.trace_context import derived, parsed, span_id
from schemas.webhook import WebhookReceived
from tests.unit.gateway._gateway import World, problem, signed, world

NOW_S: Final = 1_800_000_000

CAUSE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the gateway's clock stand: an edge of a second between signing and checking would move what is tested."""
    monkeypatch.setattr("streams.gateway.webhooks.now_ms", lambda: NOW_S * 1000)


ISSUE = {
    "action": "opened",
    "issue": {"number": 7, "title": "Lost rows", "body": None, "user": {"login": "ada"}, "labels": [{"name": "bug"}]},
    "repository": {"full_name": "octo/hello"},
    "sender": {"login": "ada"},
}


def help_headers(body: bytes, delivery: str | None, secret: str = "new") -> dict[str, str]:
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-help-signature": signature, **({"x-help-delivery": delivery} if delivery else {})}


async def help_deliver(it: World, body: Any, delivery: str | None = "h-1", secret: str = "new") -> httpx.Response:
    raw = orjson.dumps(body)
    return await it.client.post("/webhooks/helpdesk", content=raw, headers=help_headers(raw, delivery, secret))


async def test_a_delivery_is_kept_raw_and_becomes_its_event() -> None:
    async with world() as it:
        answer = await it.deliver(ISSUE, authorization="Bearer sender", traceparent=CAUSE)
        assert answer.status_code == 202
        assert answer.json() == {"id": "d-1", "events": ["github/d-1/0"], "runs": []}
        [raw] = it.log.on("webhooks.github")
        assert isinstance(raw.event, WebhookReceived)
        assert (raw.event.body, raw.key, raw.id) == (orjson.dumps(ISSUE), "d-1", "github/d-1")
        assert not {"authorization", "x-hub-signature-256"} & set(raw.event.headers)
        [opened] = it.log.on("events")
        assert isinstance(opened.event, GithubIssueOpened)
        assert (opened.event.number, opened.event.labels, opened.event.body) == (7, ["bug"], "")
        assert (opened.id, opened.key, opened.source) == ("github/d-1/0", "octo/hello", "/webhooks/github")
        trace = parsed(opened.traceparent)
        assert trace is not None
        assert trace == parsed(CAUSE)._replace(span_id=span_id("github", "d-1"))  # type: ignore[union-attr]


async def test_all_that_a_delivery_becomes_is_in_a_trace_of_its_own_without_one() -> None:
    async with world() as it:
        await it.deliver(ISSUE, traceparent="not valid")
        [opened] = it.log.on("events")
        assert opened.traceparent == derived("github", "d-1").header


async def test_the_same_delivery_again_writes_nothing() -> None:
    async with world() as it:
        first = (await it.deliver(ISSUE)).json()
        for _ in range(3):
            again = await it.deliver(ISSUE)
            assert again.status_code == 202
            assert again.json() == {**first, "duplicate": True}
        assert len(it.log.written) == 2


async def test_the_same_delivery_four_times_at_once_is_one() -> None:
    async with world() as it:
        answers = await asyncio.gather(*(it.deliver(ISSUE) for _ in range(4)))
        assert sorted("duplicate" in answer.json() for answer in answers) == [False, True, True, True]
        assert len(it.log.written) == 2


async def test_a_delivery_that_was_not_acknowledged_is_no_duplicate_later() -> None:
    async with world() as it:
        it.log.down = True
        problem(await it.deliver(ISSUE), 503, "not-acknowledged")
        it.log.down = False
        assert "duplicate" not in (await it.deliver(ISSUE)).json()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-hub-signature-256": ""},
        {"x-hub-signature-256": "sha256="},
        {"x-hub-signature-256": signed(b"other")},
        {"x-hub-signature-256": signed(orjson.dumps(ISSUE), "wrong")},
        {"x-hub-signature-256": signed(orjson.dumps(ISSUE), "")},
        {"x-hub-signature-256": signed(orjson.dumps(ISSUE)).removeprefix("sha256=")},
        {"x-hub-signature-256": signed(orjson.dumps(ISSUE)) + "0"},
        {
            "x-hub-signature": "sha1="
            + hmac.new(b"It's a Secret to Everybody", orjson.dumps(ISSUE), hashlib.sha1).hexdigest()
        },
    ],
)
async def test_a_bad_signature_is_401_with_one_message_and_nothing_written(headers: dict[str, str]) -> None:
    async with world() as it:
        given = {"x-github-event": "issues", "x-github-delivery": "d-1", **headers}
        answer = await it.client.post("/webhooks/github", content=orjson.dumps(ISSUE), headers=given)
        body = problem(answer, 401, "bad-signature")
        assert body["detail"] == "The delivery's signature is missing, wrong or too old."
        assert it.log.written == []


async def test_a_doubled_signature_header_is_401() -> None:
    async with world() as it:
        good = ("x-hub-signature-256", signed(b"{}"))
        answer = await it.client.post("/webhooks/github", content=b"{}", headers=[good, good])
        problem(answer, 401, "bad-signature")


async def test_githubs_published_vector() -> None:
    async with world() as it:
        signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        answer = await it.client.post(
            "/webhooks/github", content=b"Hello, World!", headers={"x-hub-signature-256": signature}
        )
        problem(answer, 400, "malformed-json")


async def test_unknown_source_is_404() -> None:
    async with world() as it:
        problem(await it.client.post("/webhooks/nobody", content=b"{}"), 404, "unknown-source")


@pytest.mark.parametrize("raw", [b"", b"\xff", b"[" * 5_000, b"{'x': 1}"])
async def test_a_signed_body_that_is_not_json_is_400_and_nothing_written(raw: bytes) -> None:
    async with world() as it:
        problem(await it.deliver(raw), 400, "malformed-json")
        assert it.log.written == []


@pytest.mark.parametrize("raw", [b"[]", b"3", b'{"action": "opened", "repository": {"full_name": "a/b"}}'])
async def test_a_signed_body_that_is_no_such_event_is_422(raw: bytes) -> None:
    async with world() as it:
        problem(await it.deliver(raw), 422, "rejected")
        assert it.log.written == []


async def test_other_github_events_keep_their_payload() -> None:
    async with world() as it:
        payload = {"action": "created", "organization": {"login": "octo"}, "installation": {"id": 3}}
        await it.deliver(payload, "star", "d-2")
        await it.deliver({"installation": {"id": 3}}, "custom_thing", "d-3")
        star, thing = it.log.on("events")
        assert (star.event.event_type, star.key) == ("github.star.created", "octo")
        assert (thing.event.event_type, thing.key) == ("github.custom_thing", "installation/3")


@pytest.mark.parametrize(
    ("action", "word"),
    [("on-demand-test", "on-demand-test"), ("Deploy Prod!", "deploy_prod_"), ("--", "_"), ("a..b", "a_b"), ("é", "_")],
)
async def test_an_action_that_somebody_chose_is_a_word_of_the_type(action: str, word: str) -> None:
    async with world() as it:
        payload = {"action": action, "repository": {"full_name": "o/r"}}
        assert (await it.deliver(payload, "repository_dispatch")).status_code == 202
        [event] = it.log.on("events")
        assert event.event.event_type == f"github.repository_dispatch.{word}"
        assert vars(event.event)["action"] == action


async def test_github_may_send_a_form() -> None:
    async with world() as it:
        raw = b"payload=" + orjson.dumps({"zen": "quiet"}).replace(b" ", b"+")
        answer = await it.deliver(raw, "ping", **{"content-type": "application/x-www-form-urlencoded"})
        assert answer.status_code == 202
        assert it.log.on("events")[0].event.event_type == "github.ping"


async def test_a_users_source_starts_events_and_runs_under_derived_ids() -> None:
    async with world() as it:
        first = (await help_deliver(it, {"ticket": "t-1"})).json()
        assert first["events"] == ["helpdesk/h-1/0"]
        [run_id] = first["runs"]
        [submitted] = it.log.on("agents.research")
        assert isinstance(submitted.event, RunSubmitted)
        assert (submitted.key, submitted.event.run_id) == (run_id, run_id)
        assert submitted.event.input == {"topic": "t-1", "depth": 2}
        assert (await it.client.get(f"/runs/{run_id}")).json()["status"] == "queued"
    async with world() as it:
        assert (await help_deliver(it, {"ticket": "t-1"}, secret="old")).json()["runs"] == [run_id]


async def test_a_source_that_says_nothing_keeps_the_raw_delivery() -> None:
    async with world() as it:
        assert (await help_deliver(it, {"nothing": True})).json() == {"id": "h-1", "events": [], "runs": []}
        assert [record.topic for record in it.log.written] == ["webhooks.helpdesk"]


async def test_a_source_that_rejects_is_422_and_writes_nothing() -> None:
    async with world() as it:
        body = problem(await help_deliver(it, {"reject": True}), 422, "rejected")
        assert body["detail"] == "not for us"
        assert it.log.written == []


async def test_a_bug_in_a_source_keeps_the_delivery_and_tells_people() -> None:
    async with world() as it:
        answer = await help_deliver(it, {"bug": True})
        assert (answer.status_code, answer.json()["events"]) == (202, [])
        assert len(it.log.on("webhooks.helpdesk")) == 1
        [letter] = it.log.on("dead-letters")
        assert isinstance(letter.event, DeadLettered)
        assert (letter.event.consumer, letter.event.error_type) == ("source:helpdesk", "KeyError")


async def test_without_a_delivery_id_nothing_is_taken_for_a_repeat() -> None:
    async with world() as it:
        ids = [(await help_deliver(it, {"ticket": "t"}, None)).json()["id"] for _ in range(2)]
        assert ids[0] != ids[1]


SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
    b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10"
    b"d2c447fce8b6703c"
)
SLACK_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def slack_headers(body: bytes, at: int = NOW_S) -> dict[str, str]:
    signature = hmac.new(SLACK_SECRET.encode(), f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()
    return {"x-slack-request-timestamp": str(at), "x-slack-signature": f"v0={signature}"}


async def test_slacks_published_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.gateway.webhooks.now_ms", lambda: 1531420618_000)
    published = {
        "x-slack-request-timestamp": "1531420618",
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        **FORM,
    }
    async with world() as it:
        answer = await it.client.post("/webhooks/slack", content=SLACK_BODY, headers=published)
        assert answer.json()["id"] == "398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
        [event] = it.log.on("events")
        assert (event.event.event_type, event.key) == ("slack.slash_command", "G8PSS9T3V")
        assert "xyzz0WbapA4vBCDEFasx0q6G" not in event.event.model_dump_json()
        altered = await it.client.post("/webhooks/slack", content=SLACK_BODY + b"------", headers=published)
        problem(altered, 401, "bad-signature")
        for name in list(published)[:2]:
            fewer = {key: value for key, value in published.items() if key != name}
            problem(await it.client.post("/webhooks/slack", content=SLACK_BODY, headers=fewer), 401, "bad-signature")


async def test_slack_verifies_the_address_and_repeats_events() -> None:
    async with world() as it:
        question = orjson.dumps({"type": "url_verification", "challenge": "c"})
        answer = await it.client.post("/webhooks/slack", content=question, headers=slack_headers(question))
        assert (answer.status_code, answer.json()) == (200, {"challenge": "c"})
        body = orjson.dumps(
            {
                "type": "event_callback",
                "event_id": "Ev1",
                "team_id": "T",
                "event": {"type": "app_mention", "channel": "C"},
            }
        )
        answers = [
            await it.client.post("/webhooks/slack", content=body, headers=slack_headers(body, NOW_S + retry))
            for retry in range(4)
        ]
        assert [answer.json().get("duplicate") for answer in answers] == [None, True, True, True]
        assert [(item.event.event_type, item.key) for item in it.log.on("events")] == [("slack.app_mention", "C")]


async def test_slack_interactivity_and_slash_commands_are_events_once() -> None:
    action = {
        "type": "block_actions",
        "trigger_id": "T.1",
        "token": "secret",
        "team": {"id": "T1"},
        "user": {"id": "U1"},
        "channel": {"id": "C1"},
    }
    forms = {
        b"payload=" + quote(orjson.dumps(action)).encode(): ("slack.block_actions", "C1", "U1"),
        b"command=%2Fask&text=why&trigger_id=T.2&channel_id=C2&user_id=U2&token=secret": (
            "slack.slash_command",
            "C2",
            "U2",
        ),
    }
    async with world() as it:
        for body, wanted in forms.items():
            answers = [
                await it.client.post("/webhooks/slack", content=body, headers={**slack_headers(body), **FORM})
                for _ in range(2)
            ]
            assert [answer.json().get("duplicate") for answer in answers] == [None, True]
            event: Any = it.log.on("events")[-1].event
            assert (event.event_type, event.channel, event.user) == wanted
            assert "secret" not in event.model_dump_json()
        assert len(it.log.on("events")) == 2


async def test_a_slack_retry_is_recognised_by_the_event_and_keeps_its_number() -> None:
    event = {"type": "message", "channel": "C", "text": "hi"}
    body = orjson.dumps({"type": "event_callback", "event_id": "Ev9", "event": event})
    async with world() as it:
        it.log.down = True
        lost = await it.client.post("/webhooks/slack", content=body, headers=slack_headers(body))
        assert lost.status_code == 503
        it.log.down = False
        retry = {"x-slack-retry-num": "1", "x-slack-retry-reason": "http_timeout"}
        taken = await it.client.post("/webhooks/slack", content=body, headers={**slack_headers(body), **retry})
        assert (taken.status_code, taken.json().get("duplicate")) == (202, None)
        [raw] = it.log.on("webhooks.slack")
        assert vars(raw.event)["headers"]["x-slack-retry-num"] == "1"
        assert len(it.log.on("events")) == 1


@pytest.mark.parametrize("skew", [-301, 301, -86_400])
async def test_slack_too_old_or_from_the_future_is_401(skew: int) -> None:
    async with world() as it:
        headers = slack_headers(b"{}", NOW_S + skew)
        problem(await it.client.post("/webhooks/slack", content=b"{}", headers=headers), 401, "bad-signature")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"{"])
async def test_slack_without_an_event_is_a_clear_refusal(body: bytes) -> None:
    async with world() as it:
        answer = await it.client.post("/webhooks/slack", content=body, headers=slack_headers(body))
        problem(answer, 422, "rejected")
        assert it.log.written == []


WHSEC = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def standard_headers(body: bytes, delivery: str = "msg_1", skew: int = 0) -> dict[str, str]:
    at = str(NOW_S + skew)
    made = base64.b64encode(hmac.new(WHSEC, f"{delivery}.{at}.".encode() + body, hashlib.sha256).digest()).decode()
    return {"webhook-id": delivery, "webhook-timestamp": at, "webhook-signature": f"v1,{made}"}


async def test_the_published_vector_of_standard_webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.gateway.webhooks.now_ms", lambda: 1614265330_000)
    good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    cases = {good: 422, good.replace("OE=", "OA="): 401, f"v1,bad v2,bad {good} v1,bad": 422, "v1,bad": 401, "": 401}
    async with world() as it:
        for signature, status in cases.items():
            headers = {
                "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "webhook-timestamp": "1614265330",
                "webhook-signature": signature,
            }
            answer = await it.client.post("/webhooks/standard", content=b'{"test": 2432232314}', headers=headers)
            assert answer.status_code == status, signature


async def test_standard_webhooks_carry_any_event_of_ours() -> None:
    async with world() as it:
        body = orjson.dumps({"type": "new_data_arrived", "timestamp": "x", "data": {"source": "feed"}})
        answer = await it.client.post("/webhooks/standard", content=body, headers=standard_headers(body))
        assert answer.json()["events"] == ["standard/msg_1/0"]
        wrong = orjson.dumps({"type": "new_data_arrived", "data": {}})
        answer = await it.client.post("/webhooks/standard", content=wrong, headers=standard_headers(wrong, "msg_2"))
        assert problem(answer, 422, "invalid-event")["errors"][0]["field"] == "data.source"
        for skew in (-301, 301):
            stale = standard_headers(body, skew=skew)
            problem(await it.client.post("/webhooks/standard", content=body, headers=stale), 401, "bad-signature")


async def test_custom_starts_runs_and_says_which() -> None:
    async with world() as it:
        body = [
            {"event_type": "new_data_arrived", "data": {"source": "feed"}, "key": "k"},
            {"agent": "research", "input": {"topic": "kafka"}},
        ]
        first, again = [await it.post("/webhooks/custom", body, idempotency_key="once") for _ in range(2)]
        assert (len(first.json()["events"]), len(first.json()["runs"])) == (1, 1)
        assert again.json() == {**first.json(), "duplicate": True}
        assert it.log.on("events")[0].key == "k"
        problem(await it.post("/webhooks/custom", {"agent": "nobody"}), 404, "unknown-agent")
        problem(await it.post("/webhooks/custom", {"agent": "research", "input": {}}), 422, "invalid-input")
        problem(await it.post("/webhooks/custom", {"event_type": "never.heard"}), 422, "unknown-event-type")
        problem(await it.post("/webhooks/custom", {"what": 1}), 422, "rejected")
