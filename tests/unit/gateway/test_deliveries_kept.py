"""A verified delivery is never lost to a fault of the code behind it, and never counted twice under another id."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import httpx
import orjson
import pytest
from pydantic import SecretStr

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.dead import DeadLettered
from schemas.webhook import WebhookReceived
from streams import Delivery, Reject, source
from streams.gateway.deliveries import SIGNED_ID, Deliveries
from streams.gateway.webhooks import CAPS
from tests.unit.gateway._gateway import Opened, Settings, World, problem, signed, world
from tests.unit.gateway.test_webhooks import ISSUE
from topics.catalogue import catalogue


def anybody(_headers: Mapping[str, str], _body: bytes) -> bool:
    return True


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def raises(error: BaseException) -> Any:
    def fails(_: Any) -> Any:
        raise error

    return fails


@source(verify=anybody)
def sms(delivery: Delivery) -> Any:
    return Opened(ticket=parse_qs(delivery.body.decode())["Body"][0])


@source(verify=anybody)
def reads_json(delivery: Delivery) -> Any:
    return Opened(ticket=delivery.json["id"])


def member_id(delivery: Delivery) -> str:
    return str(delivery.json["id"])


@source(verify=anybody, once_per=member_id)
def by_member(delivery: Delivery) -> Any:
    return Opened(ticket=delivery.json["id"])


BODIES = {
    "a form": b"From=1",
    "XML": b"<sms><from>1</from></sms>",
    "nothing": b"",
    "bytes": b"\xff\x00",
    "JSON": b'{"other": 1}',
    "gzip": b"\x1f\x8b\x08\x00",
}


@pytest.mark.parametrize("of", [sms, reads_json, by_member], ids=lambda one: one.name)
@pytest.mark.parametrize("body", BODIES)
async def test_a_fault_of_a_source_is_a_dead_letter_whatever_the_body_is(of: Any, body: str) -> None:
    async with world(sources={of.name: of}) as it:
        answer = await it.client.post(f"/webhooks/{of.name}", content=BODIES[body])
        assert answer.status_code == 202, answer.text
        [letter], [raw] = it.log.on("dead-letters"), it.log.on(f"webhooks.{of.name}")
        assert isinstance(letter.event, DeadLettered)
        assert isinstance(raw.event, WebhookReceived)
        assert raw.event.body == BODIES[body]
        assert answer.json() == {"id": raw.key, "events": [], "runs": [], "dead_letter": letter.event.dead_id}
        assert letter.event.key == raw.event.delivery_id.encode()


@pytest.mark.parametrize(
    "error",
    [KeyError("x"), SystemExit(3), GeneratorExit(), Unprintable(), StopIteration(), RecursionError(), MemoryError()],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("where", ["fn", "once_per"])
async def test_whatever_users_code_raises_the_delivery_is_kept(error: BaseException, where: str) -> None:
    fails = raises(error)
    fails.__name__ = "broken"
    made = source(verify=anybody)(fails) if where == "fn" else source(verify=anybody, once_per=fails)(lambda _: None)
    async with world(sources={"broken": made.__class__("broken", made.fn, made.verify, made.once_per)}) as it:
        answer = await it.client.post("/webhooks/broken", content=b"{}")
        assert answer.status_code == 202, answer.text
        [letter] = it.log.on("dead-letters")
        assert vars(letter.event)["error_type"] == type(error).__name__
        assert len(it.log.on("webhooks.broken")) == 1


@pytest.mark.parametrize("found", ["a\nb", "x" * 256, {"a": "\x00"}], ids=["line", "long", "object"])
async def test_an_id_that_once_per_makes_and_that_cannot_be_one_is_the_codes_fault(found: object) -> None:
    made = source(verify=anybody, once_per=lambda _: "\x00" + str(found))(_named)
    async with world(sources={"_named": made}) as it:
        assert (await it.client.post("/webhooks/_named", content=b"{}")).json()["dead_letter"].startswith("_named/un")
        assert len(it.log.on("webhooks._named")) == 1


def _named(_: Delivery) -> None: ...


async def test_a_source_or_once_per_that_rejects_is_still_a_422() -> None:
    made = source(verify=anybody, once_per=raises(Reject("not for us")))(_named)
    async with world(sources={"_named": made}) as it:
        problem(await it.client.post("/webhooks/_named", content=b"{}"), 422, "rejected")
        assert it.log.written == []


async def test_two_deliveries_whose_once_per_fails_are_two() -> None:
    async with world(sources={"by_member": by_member}) as it:
        for _ in range(2):
            assert (await it.client.post("/webhooks/by_member", content=b"{}")).status_code == 202
        assert len({raw.key for raw in it.log.on("webhooks.by_member")}) == 2


# -- half a character


HALVES = {
    rb'"cut \ud83d"': "cut \ufffd",
    rb'"\uDE00 cut"': "\ufffd cut",
    rb'"\ud83d\ud83d\ude00"': "\ufffd\U0001f600",
    rb'"\ud83d\\ude00"': "\ufffd\\ude00",
    rb'"\\ud83d"': "\\ud83d",
    rb'"\ud83d\u0041"': "\ufffdA",
    rb'"\ud83d\n"': "\ufffd\n",
    rb'"\ud83d\ude00"': "\U0001f600",
}


@pytest.mark.parametrize("text", HALVES)
async def test_half_a_surrogate_pair_is_the_replacement_character(text: bytes) -> None:
    wanted = HALVES[text]
    issue = orjson.dumps(ISSUE).replace(b'"Lost rows"', text)
    async with world() as it:
        assert (await it.deliver(issue)).status_code == 202
        assert vars(it.log.on("events")[0].event)["title"] == wanted
        run = b'{"agent": "research", "input": {"topic": ' + text + b"}}"
        assert (await it.client.post("/runs", content=run)).status_code == 202
        assert vars(it.log.on("agents.research")[0].event)["input"]["topic"] == wanted
        data = b'{"type": "new_data_arrived", "data": {"source": ' + text + b"}}"
        assert (await it.client.post("/events", content=data)).status_code == 202
        assert vars(it.log.on("events")[1].event)["source"] == wanted
        assert (await it.client.post("/webhooks/reads_json", content=b"{}")).status_code == 404


async def test_half_a_surrogate_pair_in_githubs_form() -> None:
    raw = b"payload=%7B%22zen%22%3A%22%5Cud83d%22%7D"
    async with world() as it:
        answer = await it.deliver(raw, "ping", **{"content-type": "application/x-www-form-urlencoded"})
        assert answer.status_code == 202, answer.text
        assert vars(it.log.on("events")[0].event)["zen"] == "\ufffd"


@pytest.mark.parametrize(
    "raw", [rb'{"a": "\ud83"}', rb'{"a": \ud83d}', rb'"\ud83d', rb'{"a": "\uzzzz\ud83d"}', b"\xed\xa0\xbd"]
)
async def test_what_is_no_json_besides_stays_a_400(raw: bytes) -> None:
    async with world() as it:
        problem(await it.client.post("/runs", content=raw), 400, "malformed-json")


# -- a body that the signature covers, under ids that it does not


async def test_a_captured_delivery_under_five_ids_is_one() -> None:
    async with world() as it:
        first, *others = [await it.deliver(ISSUE, delivery=f"d-{number}") for number in range(5)]
        assert [answer.json() for answer in others] == [{**first.json(), "duplicate": True}] * 4
        assert [record.topic for record in it.log.written] == ["events", "webhooks.github"]


async def test_it_is_known_after_a_restart_and_by_other_gateways() -> None:
    async with world() as it:
        await it.deliver(ISSUE)
        [raw] = it.log.on("webhooks.github")
        deliveries = Deliveries()
        deliveries.remember("github", raw.key or "", raw.headers[SIGNED_ID])
    async with world(deliveries=deliveries) as other:
        answer = await other.deliver(ISSUE, delivery="d-2")
        assert (answer.json()["duplicate"], answer.json()["id"]) == (True, "d-1")
        assert other.log.written == []


async def test_a_captured_delivery_that_failed_is_repeated_under_its_first_id() -> None:
    async with world() as it:
        it.log.down = True
        assert (await it.deliver(ISSUE)).status_code == 503
        it.log.down = False
        assert (await it.deliver(ISSUE, delivery="d-2")).json()["events"] == ["github/d-1/0"]
        assert (await it.deliver(ISSUE)).json()["duplicate"] is True


async def test_bodies_that_github_repeats_are_no_replays() -> None:
    """Nothing in them differs from one occasion to the next, so that nothing tells a replay from a second one."""
    dispatch = {"action": "deploy", "branch": "main", "client_payload": {}, "repository": {"full_name": "o/r"}}
    asked = {"action": "rerequested", "check_run": {"id": 1}, "repository": {"full_name": "o/r"}}
    for event, payload in {
        "repository_dispatch": dispatch,
        "check_run": asked,
        "membership": {"action": "added"},
    }.items():
        async with world() as it:
            answers = [await it.deliver(payload, event, f"d-{number}") for number in range(2)]
            assert [answer.json().get("duplicate") for answer in answers] == [None, None]
            assert len(it.log.on("events")) == 2


@pytest.mark.parametrize(
    "event", ["issue_comment", "pull_request", "push", "star", "ping", "repository_dispatch", "workflow_run", "label"]
)
async def test_a_payload_that_is_of_another_event_is_refused(event: str) -> None:
    async with world() as it:
        problem(await it.deliver(ISSUE, event), 422, "rejected")
        assert it.log.written == []


async def test_a_comment_is_no_change_of_its_issue() -> None:
    async with world() as it:
        comment = {**ISSUE, "comment": {"id": 1, "body": "x"}}
        body = problem(await it.deliver(comment, "issues"), 422, "rejected")
        assert body["detail"] == "X-GitHub-Event is issues, but the payload is about comment"


# -- what is kept of the headers


SECRETS = [
    "authorization",
    "cookie",
    "x-shop-secret",
    "x-forwarded-authorization",
    "x-api-key",
    "proxy-authorization",
    "x-amz-security-token",
    "x-internal",
    "x-session-id",
    "x-token-type",
    "x-auth-version",
]
TOLD = ["content-type", "user-agent", "x-github-event", "x-github-delivery", "x-gitlab-event", "x-shopify-topic"]


async def test_headers_are_kept_by_an_allow_list() -> None:
    async with world() as it:
        named = {name: f"value of {name}" for name in (*SECRETS, *TOLD) if not name.startswith("x-github")}
        assert (await it.deliver(ISSUE, **named)).status_code == 202
        [raw] = it.log.on("webhooks.github")
        assert set(vars(raw.event)["headers"]) == set(TOLD)


async def test_a_source_names_further_headers_that_its_redrive_needs() -> None:
    made = source(verify=anybody, once_per="X-Idempotency-Key", keep=["X-Shop", "x-signing-key-id"])(_named)
    async with world(sources={"_named": made}) as it:
        headers = {"x-shop": "a", "x-signing-key-id": "k", "x-idempotency-key": "1", "x-shop-secret": "s"}
        assert (await it.client.post("/webhooks/_named", content=b"{}", headers=headers)).status_code == 202
        [raw] = it.log.on("webhooks._named")
        kept = vars(raw.event)["headers"]
        assert {name: kept[name] for name in ("x-shop", "x-signing-key-id", "x-idempotency-key")}
        assert "x-shop-secret" not in kept


# -- signatures as senders write them


async def test_a_digest_in_upper_case_is_the_same_digest() -> None:
    async with world() as it:
        raw = orjson.dumps(ISSUE)
        upper = "sha256=" + signed(raw).removeprefix("sha256=").upper()
        assert (await it.deliver(raw, **{"x-hub-signature-256": upper})).status_code == 202


def stamp(secret: bytes, at: int, body: bytes, names: str = "webhook", id: str = "m-1") -> dict[str, str]:
    made = hmac.new(secret, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(made).decode()}"
    return {f"{names}-id": id, f"{names}-timestamp": str(at), f"{names}-signature": signature}


NOW = 1_800_000_000
NEWS = orjson.dumps({"type": "new_data_arrived", "data": {"source": "feed"}})


@pytest.fixture
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.gateway.webhooks.now_ms", lambda: NOW * 1000)


async def standard(it: World, headers: dict[str, str]) -> httpx.Response:
    return await it.client.post("/webhooks/standard", content=NEWS, headers=headers)


@pytest.mark.usefixtures("_still")
@pytest.mark.parametrize("secret", ["opensesame12", "mysecretpassword", "plain text!", "whsec_b3BlbnNlc2FtZQ=="])
async def test_a_secret_is_a_text_or_base64_whatever_its_sender_takes_it_for(secret: str) -> None:
    keys = [secret.encode()]
    if secret != "plain text!":
        keys.append(base64.b64decode(secret.removeprefix("whsec_")))
    settings = Settings(webhook_secrets={"standard": (SecretStr(secret),)})
    async with world(settings) as it:
        for number, key in enumerate(keys):
            assert (await standard(it, stamp(key, NOW, NEWS, id=f"m-{number}"))).status_code == 202
        problem(await standard(it, stamp(b"other", NOW, NEWS)), 401, "bad-signature")
        problem(await standard(it, stamp(b"", NOW, NEWS)), 401, "bad-signature")


@pytest.mark.usefixtures("_still")
async def test_svix_names_of_the_headers_are_the_same_scheme() -> None:
    settings = Settings(webhook_secrets={"standard": (SecretStr("a secret"),)})
    async with world(settings) as it:
        headers = stamp(b"a secret", NOW, NEWS, "svix")
        first, again = [await standard(it, headers) for _ in range(2)]
        assert (first.status_code, first.json()["id"], again.json()["duplicate"]) == (202, "m-1", True)
        problem(await standard(it, {**headers, "webhook-id": "m-2"}), 401, "bad-signature")
        stale = stamp(b"a secret", NOW - 301, NEWS, "svix")
        problem(await standard(it, stale), 401, "bad-signature")


@pytest.mark.parametrize("digits", [15, 16, 400, 5_000])
async def test_a_time_of_many_digits_is_401_and_no_traceback(digits: int, caplog: pytest.LogCaptureFixture) -> None:
    async with world() as it:
        headers = {"webhook-id": "m", "webhook-timestamp": "1" * digits, "webhook-signature": "v1,x"}
        problem(await standard(it, headers), 401, "bad-signature")
        assert caplog.records == []


async def test_a_check_that_fails_is_logged_once_and_refuses_each_time(caplog: pytest.LogCaptureFixture) -> None:
    made = source(verify=lambda headers, _: headers["not-there"] == "x")(_named)
    async with world(sources={"_named": made}) as it:
        for _ in range(5):
            problem(await it.client.post("/webhooks/_named", content=b"{}"), 401, "bad-signature")
    assert len(caplog.records) == 1


# -- what is large


CODEC = Codec(FileRegistry())


def limits() -> dict[str, int]:
    return {topic.name: int(topic.settings()["max.message.bytes"]) for topic in catalogue(sources=["github"])}


async def test_a_push_of_two_thousand_commits_is_an_event_that_its_topic_takes() -> None:
    commits = [{"id": f"{number:040x}", "message": "m" * 900} for number in range(2_000)]
    body = orjson.dumps({"ref": "refs/heads/main", "repository": {"full_name": "a/b"}, "commits": commits})
    async with world() as it:
        assert (await it.deliver(body, "push")).status_code == 202
        [event] = it.log.on("events")
        assert 1_200_000 < len(CODEC.encode(event.event)) < limits()["events"]


def test_letters_and_their_redrives_hold_the_largest_event() -> None:
    found = limits()
    assert found["events"] > max(CAPS.values())
    assert min(found[name] for name in ("dead-letters", "signals", "journal.default")) > found["events"]
