"""Senders that ask before they send, compressed bodies, and a topic that nobody has made yet."""

from __future__ import annotations

import gzip
import hmac
import zlib
from collections.abc import Callable, Mapping

import httpx
import orjson
import pytest

from schemas.webhook import WebhookReceived
from streams import Delivery, hmac_sha256, source
from streams.errors import DefinitionError
from tests.unit.gateway._gateway import SECRET, Opened, Settings, api_key, problem, signed, world
from topics.errors import UnknownTopicError

TOKEN = "a-verify-token"
GZIP = {"content-encoding": "gzip"}
EVENT = {"type": "help.opened", "data": {"ticket": "7"}}


def packed(body: bytes) -> bytes:
    """Return the body as gzip; without the time of day, so that every process collects the same tests."""
    return gzip.compress(body, mtime=0)


def asked(query: Mapping[str, str]) -> str | None:
    """Answer as WebSub and Meta (`hub.challenge`) and Microsoft Graph (`validationToken`) expect."""
    if query.get("boom"):
        raise SystemExit(3)
    if hmac.compare_digest(query.get("hub.verify_token", ""), TOKEN):
        return query.get("hub.challenge")
    return query.get("validationToken")


@source(verify=hmac_sha256("x-help-signature"), once_per="x-id", handshake=asked)
def helpdesk(delivery: Delivery) -> Opened:
    """Turn a ticket into an event."""
    return Opened(ticket=delivery.json["ticket"])


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("GET", {"hub.mode": "subscribe", "hub.verify_token": TOKEN, "hub.challenge": "<b>1158201444</b>"}),
        ("POST", {"validationToken": "<b>1158201444</b>"}),
    ],
)
async def test_a_sender_that_asks_gets_its_challenge_as_plain_text(method: str, query: dict[str, str]) -> None:
    settings = Settings(api_keys=(api_key("k" * 22, "submit"),))  # the sender has no key and no signature yet
    async with world(settings, sources={"helpdesk": helpdesk}) as it:
        answer = await it.client.request(method, "/webhooks/helpdesk", params=query)
        assert (answer.status_code, answer.text) == (200, "<b>1158201444</b>")
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert it.log.written == []


async def test_other_questions_are_refused() -> None:
    async with world(sources={"helpdesk": helpdesk}) as it:
        for query in ({}, {"hub.verify_token": "guessed", "hub.challenge": "x"}, {"boom": "1"}):
            problem(await it.client.get("/webhooks/helpdesk", params=query), 401, "bad-signature")
            if query:
                problem(await it.client.post("/webhooks/helpdesk", params=query), 401, "bad-signature")
        problem(await it.client.get("/webhooks/nobody"), 404, "unknown-source")
        refused = await it.client.get("/webhooks/github?hub.challenge=x")
        problem(refused, 405, "method-not-allowed")
        assert refused.headers["allow"] == "POST"


async def test_a_delivery_with_a_query_of_its_own_is_a_delivery() -> None:
    body = b'{"ticket": "1"}'
    headers = {"x-help-signature": hmac.digest(b"new", body, "sha256").hex(), "x-id": "1"}
    async with world(sources={"helpdesk": helpdesk}) as it:
        answer = await it.client.post("/webhooks/helpdesk?tenant=a", content=body, headers=headers)
        assert answer.status_code == 202, answer.text


def test_a_handshake_is_a_function() -> None:
    with pytest.raises(DefinitionError, match="handshake="):
        source(verify=hmac_sha256("x"), handshake="hub.challenge")(lambda delivery: None)  # type: ignore[arg-type]


def members(body: bytes) -> bytes:
    return packed(body[:5]) + packed(body[5:])


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", packed), ("x-gzip", packed), ("GZIP", members), ("deflate", zlib.compress)],
)
async def test_compressed_bodies_are_read(coding: str, pack: Callable[[bytes], bytes]) -> None:
    headers = {"content-encoding": coding}
    async with world() as it:
        answer = await it.client.post("/events", content=pack(orjson.dumps(EVENT)), headers=headers)
        assert answer.status_code == 202, answer.text
        body = orjson.dumps({"ref": "x", "repository": {"full_name": "o/r"}, "commits": []})
        packed = pack(body)
        sent = {**headers, "x-github-event": "push", "x-github-delivery": "d1", "x-hub-signature-256": signed(packed)}
        assert (await it.client.post("/webhooks/github", content=packed, headers=sent)).status_code == 202
        (raw,) = [record.event for record in it.log.written if isinstance(record.event, WebhookReceived)]
        assert raw.body == body
        assert "content-encoding" not in raw.headers


@pytest.mark.parametrize(
    ("body", "coding", "status"),
    [
        (packed(bytes(3 << 20)), "gzip", 413),
        (packed(b" ") * 40_000 + packed(bytes(2 << 20)), "gzip", 413),
        (zlib.compress(bytes(3 << 20)), "deflate", 413),
        (zlib.compress(b"{}") + b"rest", "deflate", 400),
        (packed(b"{}")[:-3], "gzip", 400),
        (packed(b"{}") + b"rest", "gzip", 400),
        (b"{}", "gzip", 400),
        (b"{}", "br", 415),
        (packed(packed(b"{}")), "gzip, gzip", 415),
    ],
)
async def test_bodies_that_are_not_what_their_coding_says_are_refused(body: bytes, coding: str, status: int) -> None:
    async with world() as it:
        answer: httpx.Response = await it.client.post("/events", content=body, headers={"content-encoding": coding})
        assert answer.status_code == status, answer.text
        assert (answer.headers.get("accept-encoding") == "gzip, deflate") == (status == 415)


async def test_nothing_is_unpacked_for_who_has_not_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> bytes:
        raise AssertionError

    monkeypatch.setattr("streams.gateway.body._inflated", never)
    body = packed(bytes(1 << 20))
    sent = {**GZIP, "x-github-event": "push", "x-github-delivery": "d", "x-hub-signature-256": signed(body, "no" * 9)}
    async with world() as it:
        problem(await it.client.post("/webhooks/github", content=body, headers=sent), 401, "bad-signature")


async def test_a_topic_that_does_not_exist_is_named_with_what_to_do() -> None:
    body = b'{"ref": "x", "repository": {"full_name": "o/r"}, "commits": []}'
    sent = {"x-github-event": "push", "x-github-delivery": "d", "x-hub-signature-256": signed(body, SECRET)}
    async with world() as it:
        it.log.failing["webhooks.github"] = UnknownTopicError("webhooks.github")
        said = problem(await it.client.post("/webhooks/github", content=body, headers=sent), 503, "not-acknowledged")
        assert "webhooks.github does not exist" in said["detail"]
        assert "streams topics apply" in said["detail"]
