"""What a sender may get wrong, or try: refused with a status that says why, nothing written, nothing held for long."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from typing import Final

import orjson
import pytest
from pydantic import SecretStr

from streams.gateway.access import UnsafeBindError
from tests.unit.gateway._gateway import Settings, problem, signed, world

BODY = orjson.dumps({"action": "opened", "issue": {"number": 1, "title": "x"}, "repository": {"full_name": "o/r"}})
GOOD = [("x-github-event", "issues"), ("x-github-delivery", "d-1"), ("x-hub-signature-256", signed(BODY))]
SHA1 = "sha1=" + hmac.new(b"It's a Secret to Everybody", BODY, hashlib.sha1).hexdigest()

Headers = list[tuple[str, str]]


def without(name: str, *more: tuple[str, str]) -> Headers:
    return [*(pair for pair in GOOD if pair[0] != name), *more]


SIGNATURE = "x-hub-signature-256"
UNTRUSTED: dict[str, tuple[bytes, Headers]] = {
    "wrong secret": (BODY, without(SIGNATURE, (SIGNATURE, signed(BODY, "wrong")))),
    "empty secret": (BODY, without(SIGNATURE, (SIGNATURE, signed(BODY, "")))),
    "altered body": (BODY + b" ", GOOD),
    "no signature": (BODY, without(SIGNATURE)),
    "empty signature": (BODY, without(SIGNATURE, (SIGNATURE, ""))),
    "signature doubled": (BODY, [*GOOD, (SIGNATURE, signed(BODY, "wrong"))]),
    "signature doubled, the right one last": (BODY, [(SIGNATURE, signed(BODY, "wrong")), *GOOD]),
    "sha-1 only": (BODY, without(SIGNATURE, ("x-hub-signature", SHA1))),
    "sha-1 under the newer name": (BODY, without(SIGNATURE, (SIGNATURE, SHA1))),
    "no algorithm": (BODY, without(SIGNATURE, (SIGNATURE, signed(BODY).removeprefix("sha256=")))),
    "upper-case digest, cut off": (BODY, without(SIGNATURE, (SIGNATURE, signed(BODY)[:-1]))),
}


@pytest.mark.parametrize("what", UNTRUSTED)
async def test_a_delivery_that_proves_nothing_is_401_and_nothing_is_written(what: str) -> None:
    body, headers = UNTRUSTED[what]
    async with world() as it:
        refused = await it.client.post("/webhooks/github", content=body, headers=headers)
        told = problem(refused, 401, "bad-signature")
        assert signed(BODY)[7:] not in refused.text
        assert "secret" not in told["detail"].lower()
        assert it.log.written == []


NOW_S: Final = 1_800_000_000
STAMPED = b'{"type": "new_data_arrived", "data": {"source": "s"}}'


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the gateway's clock stand at `NOW_S`: an edge of a second between the two ends would move what is tested."""
    monkeypatch.setattr("streams.gateway.webhooks.now_ms", lambda: NOW_S * 1000)


def stamped(source: str, at_s: int) -> Headers:
    """Return the headers of `STAMPED` as a sender of that source signs it at a moment."""
    if source == "slack":
        made = hmac.new(b"8f742231b10e8888abcd99yyyzzz85a5", f"v0:{at_s}:".encode() + STAMPED, hashlib.sha256)
        return [("x-slack-request-timestamp", str(at_s)), ("x-slack-signature", f"v0={made.hexdigest()}")]
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = hmac.new(key, f"m.{at_s}.".encode() + STAMPED, hashlib.sha256)
    signature = base64.b64encode(made.digest()).decode()
    return [("webhook-id", "m"), ("webhook-timestamp", str(at_s)), ("webhook-signature", f"v1,{signature}")]


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("skew", [-301, 301, -(10**6), 10**10])
@pytest.mark.parametrize("source", ["slack", "standard"])
async def test_a_stale_or_future_timestamp_is_401(source: str, skew: int) -> None:
    """The signature is good: nothing but the time can be the reason."""
    async with world() as it:
        headers = stamped(source, NOW_S + skew)
        problem(await it.client.post(f"/webhooks/{source}", content=STAMPED, headers=headers), 401, "bad-signature")
        assert it.log.written == []


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("skew", [-300, 0, 300])
@pytest.mark.parametrize("source", ["slack", "standard"])
async def test_a_timestamp_within_five_minutes_is_believed(source: str, skew: int) -> None:
    async with world() as it:
        answer = await it.client.post(f"/webhooks/{source}", content=STAMPED, headers=stamped(source, NOW_S + skew))
        assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("at", ["", "soon", "1e3", "-1", "\uff19" * 10, "1" * 400, "NaN"])
async def test_a_timestamp_that_is_none_is_401(at: str) -> None:
    async with world() as it:
        headers = [("x-slack-request-timestamp", at.encode()), ("x-slack-signature", b"v0=" + b"0" * 64)]
        named = [(name, value if isinstance(value, bytes) else value.encode()) for name, value in headers]
        raw = [(name.encode(), value) for name, value in named]
        problem(await it.client.post("/webhooks/slack", content=b"{}", headers=raw), 401, "bad-signature")


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("name", ["x-slack-request-timestamp", "webhook-id", "webhook-timestamp"])
async def test_a_doubled_header_that_is_signed_is_401(name: str) -> None:
    source, body = "slack" if name.startswith("x-slack") else "standard", STAMPED
    headers = stamped(source, NOW_S)
    doubled = [*headers, next(pair for pair in headers if pair[0] == name)]
    async with world() as it:
        problem(await it.client.post(f"/webhooks/{source}", content=body, headers=doubled), 401, "bad-signature")
        assert it.log.written == []
        assert (await it.client.post(f"/webhooks/{source}", content=body, headers=headers)).status_code in (202, 422)


async def test_a_doubled_event_name_is_no_event() -> None:
    async with world() as it:
        headers = [*GOOD, ("x-github-event", "issues")]
        problem(await it.client.post("/webhooks/github", content=BODY, headers=headers), 422, "rejected")
        assert it.log.written == []


def test_an_empty_secret_stops_the_start() -> None:
    from streams.gateway.app import build
    from streams.gateway.deps import Deps
    from tests.unit.gateway._gateway import FakeLog, FakeOwners, catalog
    from topics.names import Names

    for secrets in ((), (SecretStr(""),), (SecretStr("good"), SecretStr("  "))):
        settings = Settings(webhook_secrets={"github": secrets})
        with pytest.raises(UnsafeBindError):
            build(Deps(settings, catalog(), FakeLog(), FakeOwners(), Names()))


@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        (b'{"action": "\xff\xfe"}', {400}),
        (b"\xef\xbb\xbf{}", {400}),
        (b"[" * 200_000, {400}),
        (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, {400}),
        (b'{"a": [' + b"[" * 1_000 + b"]" * 1_000 + b"]}", {400, 422}),
        (b'{"a": NaN}', {400}),
        (b'{"a": 1e999}', {202, 400, 422}),
        (b"", {400, 422}),
        (b"null", {422}),
        (b'{"action": {"deep": 1}}', {202, 422}),
    ],
    ids=[
        "not UTF-8",
        "BOM",
        "unclosed",
        "deep objects",
        "deep lists",
        "NaN",
        "infinite",
        "empty",
        "null",
        "odd action",
    ],
)
async def test_a_signed_body_that_is_no_good_is_a_4xx(raw: bytes, statuses: set[int]) -> None:
    async with world() as it:
        answer = await it.deliver(raw, "issues")
        assert answer.status_code in statuses, answer.text
        if answer.status_code != 202:
            assert answer.headers["content-type"] == "application/problem+json"
            assert it.log.written == []


async def test_a_slow_body_is_408_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def one_byte_and_never_more() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    monkeypatch.setattr("streams.gateway.body.read.__defaults__", (1 << 20, 0.05))
    async with world() as it:
        answer = await it.client.post("/webhooks/github", content=one_byte_and_never_more(), headers=GOOD)
        told = problem(answer, 408, "slow-body")
        assert "longer than 0.05 s" in told["detail"], "its own bound has ended it, whatever the machine was busy with"
        assert answer.headers["connection"] == "close"
        assert it.log.written == []


async def test_a_chunked_body_over_the_cap_is_413_and_is_not_kept() -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 << 20:
            sent += 1 << 20
            yield b" " * (1 << 20)

    async with world() as it:
        problem(await it.client.post("/webhooks/github", content=chunks(), headers=GOOD), 413, "too-large")
        assert sent <= (25 + 32 + 2) << 20, "a sender without an end is cut off"
        assert it.log.written == []
