"""What one connection may cost: heads without end, or of one byte a second, are the end of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn

from streams.gateway import patience
from streams.gateway.serve import SERVER
from streams.serving import protocol
from streams.serving.protocol import BoundedProtocol
from tests.unit.gateway._gateway import signed, world

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected() -> AsyncIterator[Streams]:
    """Serve a gateway as `streams gateway` does, and connect to it."""
    async with world() as it:
        config = uvicorn.Config(it.app, lifespan="off", **SERVER)
        config.load()
        state = uvicorn.server.ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: BoundedProtocol(config, state, {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        try:
            yield reader, writer
        finally:
            writer.close()
            server.close()
            await server.wait_closed()


async def answered(reader: asyncio.StreamReader) -> bytes:
    """Return all that the server says until it closes."""
    async with asyncio.timeout(60):
        return await reader.read()


async def test_a_head_over_the_cap_is_400_and_the_end() -> None:
    async with connected() as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n")
        writer.write(b"".join(b"x-%d: " % number + b"y" * 1000 + b"\r\n" for number in range(33)))
        assert (await answered(reader)).startswith(b"HTTP/1.1 400")


async def test_one_header_without_an_end_is_400_and_the_end() -> None:
    async with connected() as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ")
        writer.write(b"y" * (protocol.HEAD_BYTES + 1))
        assert (await answered(reader)).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("sent", [b"", b"G", b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n"])
async def test_a_head_that_does_not_end_is_400_in_bounded_time(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_PATIENCE", 0.05)
    async with connected() as (reader, writer):
        writer.write(sent)
        assert (await answered(reader)).startswith(b"HTTP/1.1 400")


async def test_a_second_head_on_the_same_connection_is_bounded_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected() as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(protocol, "HEAD_PATIENCE", 0.05)
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        assert b"HTTP/1.1 400" in await answered(reader)


async def test_a_delivery_in_pieces_is_taken() -> None:
    async with connected() as (reader, writer):
        body = b'{"zen": "in pieces"}'
        head = (
            f"POST /webhooks/github HTTP/1.1\r\nhost: 127.0.0.1\r\nx-github-event: ping\r\ncontent-length: {len(body)}"
        )
        writer.write(f"{head}\r\nx-github-delivery: d\r\nx-hub-signature-256: {signed(body)}\r\n\r\n".encode())
        for byte in body:
            writer.write(bytes([byte]))
            await writer.drain()
        async with asyncio.timeout(60):
            assert (await reader.readline()).startswith(b"HTTP/1.1 202")


async def test_a_body_of_one_byte_now_and_then_is_408_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.gateway.body.read.__defaults__", (1 << 20, 0.1))
    async with connected() as (reader, writer):
        writer.write(b"POST /webhooks/github HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000\r\n")
        writer.write(b"x-hub-signature-256: sha256=00\r\n\r\n")
        answer = asyncio.ensure_future(reader.readline())  # the rest may be lost: what is written meanwhile resets
        while not answer.done():
            if not writer.is_closing():
                writer.write(b"x")
            await asyncio.wait([answer], timeout=0.02)
        assert (await answer).startswith(b"HTTP/1.1 408")


async def test_a_chunked_body_without_a_length_over_the_cap_is_413() -> None:
    async with connected() as (reader, writer):
        writer.write(b"POST /events HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(20):
            writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        assert (await answered(reader)).startswith(b"HTTP/1.1 413")


async def test_what_is_there_needs_no_timer_and_what_is_not_is_timed() -> None:
    async def there() -> int:
        return 1

    assert await patience.within(0, there()) == 1
    ready = asyncio.get_running_loop().create_future()

    async def later() -> int:
        found: int = await ready
        return found

    asyncio.get_running_loop().call_soon(ready.set_result, 2)
    assert await patience.within(10, later()) == 2
    ended = asyncio.Event()

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        await patience.within(0.01, never())
    assert ended.is_set()
