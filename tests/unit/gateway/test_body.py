"""Bodies are counted as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message

from streams.gateway import body
from streams.gateway.access import Keys
from streams.gateway.endpoint import Endpoint, Guard
from streams.gateway.gateway_metrics import GatewayMetrics
from streams.gateway.operation import Operation, OperationCall
from streams.gateway.problem import Problem
from streams.gateway.unverified_bodies import UnverifiedBodies
from tests.unit.gateway._gateway import Settings, problem, world


async def chunks(count: int, size: int = 65_536) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * size


async def test_a_chunked_body_without_length_over_the_cap_is_413() -> None:
    async with world() as it:
        answer = await it.client.post("/runs", content=chunks(17))
        problem(answer, 413, "too-large")
        assert answer.headers["connection"] == "close"
        assert it.log.written == []


async def test_a_declared_length_over_the_cap_is_413() -> None:
    async with world() as it:
        problem(await it.client.post("/events", content=b" " * (body.CAP + 1)), 413, "too-large")


async def test_github_may_send_more_than_others() -> None:
    async with world() as it:
        big = b'{"zen": "' + b"x" * (2 << 20) + b'"}'
        assert (await it.deliver(big, "ping")).status_code == 202
        slack = {"x-slack-request-timestamp": "1", "x-slack-signature": "v0="}
        problem(await it.client.post("/webhooks/slack", content=big, headers=slack), 413, "too-large")
        github = {"x-hub-signature-256": "sha256=00"}
        problem(await it.client.post("/webhooks/github", content=chunks(401), headers=github), 413, "too-large")


async def test_a_lying_length_does_not_help() -> None:
    async with world() as it:
        answer = await it.client.post("/runs", content=chunks(17), headers={"content-length": "10"})
        problem(answer, 413, "too-large")


async def test_a_body_that_never_ends_is_408() -> None:
    async def receive() -> Message:
        await stuck.wait()
        raise AssertionError

    stuck = asyncio.Event()
    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(Problem) as caught:
        await body.read(request, patience=0.01)
    assert caught.value.status == 408


async def test_who_asks_before_sending_is_refused_before_sending() -> None:
    async def receive() -> Message:
        raise AssertionError("the body was asked for")

    headers = [(b"content-length", b"9999999"), (b"expect", b"100-continue")]
    with pytest.raises(Problem):
        await body.read(Request({"type": "http", "method": "POST", "headers": headers}, receive))


async def never() -> Message:
    raise AssertionError("the body was asked for")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/webhooks/github", {}),
        ("/webhooks/github", {"x-hub-signature": "sha1=00"}),
        ("/webhooks/github", {"x-hub-signature-256": ""}),
        ("/webhooks/slack", {"x-slack-signature": "v0=00"}),
        ("/webhooks/standard", {"webhook-id": "1", "webhook-timestamp": "1"}),
        ("/webhooks/custom", {"origin": "http://127.0.0.1:8000"}),
        ("/webhooks/helpdesk", {}),
    ],
)
async def test_a_delivery_without_its_signature_is_refused_before_its_body(path: str, headers: dict[str, str]) -> None:
    assert await status_of(Settings(), path, headers) == 401


async def test_a_delivery_of_a_source_without_a_secret_is_refused_before_its_body() -> None:
    signature = {"x-hub-signature-256": "sha256=00"}
    assert await status_of(Settings(webhook_secrets={}), "/webhooks/github", signature) == 401


async def status_of(settings: Settings, path: str, headers: dict[str, str]) -> int:
    told: list[int] = []

    async def send(message: Message) -> None:
        told.append(message.get("status", 0))

    async with world(settings) as it:
        named = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "client": ("10.0.0.1", 1)}
        await it.app({**scope, "headers": [(b"host", b"127.0.0.1"), *named]}, never, send)
    return told[0]


async def test_unverified_bodies_have_a_budget_and_an_address_its_share() -> None:
    bodies = UnverifiedBodies(total=100, per_address=60)
    first, second, third = bodies.of("a"), bodies.of("a"), bodies.of("b")
    first.take(50)
    with pytest.raises(Problem) as caught:
        second.take(11)
    assert (caught.value.status, caught.value.headers["retry-after"]) == (429, "1")
    third.take(50)
    with pytest.raises(Problem):
        third.take(1)
    first.release()
    first.release()
    second.take(50)
    second.release()
    third.release()
    assert bodies.held == 0


async def test_the_share_of_a_body_is_given_back_however_its_reading_ends() -> None:
    calls: list[int] = []

    async def unfinished() -> Message:
        calls.append(1)
        if len(calls) > 1:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"x" * 10, "more_body": True}

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def over() -> Message:
        return {"type": "http.request", "body": b"x" * 30, "more_body": False}

    bodies = UnverifiedBodies()
    scope = {"type": "http", "method": "POST", "headers": []}
    for receive in (unfinished, gone, over):
        with pytest.raises((Problem, ClientDisconnect)):
            await body.read(Request(scope, receive), cap=20, patience=0.01, share=bodies.of("a"))
        assert bodies.held == 0


async def test_deliveries_of_strangers_leave_the_room_of_callers_alone() -> None:
    guard = Guard(Keys(()), frozenset(), GatewayMetrics(), limit=1)
    entered, leave = asyncio.Event(), asyncio.Event()

    async def waits(_: OperationCall) -> Response:
        entered.set()
        await leave.wait()
        return Response()

    async def answers(_: OperationCall) -> Response:
        return Response()

    stranger = Endpoint("/w", [Operation("POST", "/w", waits, "optional", "", {}, foreign=True)], guard)
    caller = Endpoint("/c", [Operation("POST", "/c", answers, "submit", "", {})], guard)
    clients = [
        httpx.AsyncClient(transport=httpx.ASGITransport(app=endpoint), base_url="http://127.0.0.1")
        for endpoint in (stranger, caller)
    ]
    waiting = asyncio.ensure_future(clients[0].post("/w"))
    await entered.wait()
    assert (await clients[0].post("/w")).status_code == 429
    assert (await clients[1].post("/c")).status_code == 200
    leave.set()
    assert (await waiting).status_code == 200
