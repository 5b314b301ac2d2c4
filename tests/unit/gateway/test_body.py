"""Bodies are counted as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.types import Message

from streams.gateway import body
from streams.gateway.problem import Problem
from tests.unit.gateway._gateway import problem, world


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
        problem(await it.client.post("/webhooks/slack", content=big), 413, "too-large")
        problem(await it.client.post("/webhooks/github", content=chunks(401)), 413, "too-large")


async def test_a_lying_length_does_not_help() -> None:
    async with world() as it:
        answer = await it.client.post("/runs", content=chunks(17), headers={"content-length": "10"})
        problem(answer, 413, "too-large")


async def test_a_body_that_never_ends_is_408() -> None:
    async def receive() -> Message:
        await stuck.wait()
        raise AssertionError

    import asyncio

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
