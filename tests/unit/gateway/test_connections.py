"""What one sender may hold: sockets, seconds and bytes, whatever shape its requests have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from streams.gateway.serve import SERVER
from streams.serving import protocol
from streams.serving.protocol import BoundedProtocol, bounded
from tests.faults.rig.waiting import until
from tests.unit.gateway._gateway import signed, world

HOST = b"host: 127.0.0.1\r\n"


class Server:
    """A server on a port, and how many connections it holds."""

    def __init__(self, address: tuple[str, int], state: uvicorn.server.ServerState) -> None:
        self.address = address
        self.state = state
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.address)
        self.writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        for connection in list(self.state.connections):
            connection.transport.abort()
        for writer in self.writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def serving(kind: type[BoundedProtocol] = BoundedProtocol, app: object = None) -> AsyncIterator[Server]:
    """Serve a gateway, or `app`, as `streams gateway` does."""
    async with world() as it:
        config = uvicorn.Config(app or it.app, lifespan="off", **SERVER)  # type: ignore[arg-type]
        config.load()
        state = uvicorn.server.ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: kind(config, state, {}), "127.0.0.1", 0)
        made = Server(server.sockets[0].getsockname()[:2], state)
        try:
            yield made
        finally:
            await made.close()
            server.close()
            await server.wait_closed()


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the server closes, or resets the connection."""
    found = b""
    async with asyncio.timeout(60):
        try:
            while piece := await reader.read(65_536):
                found += piece
        except ConnectionResetError:
            return found
    return found


async def closed(server: Server) -> None:
    """Wait until the server holds no connection."""
    await until(lambda: not server.state.connections)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\ncontent-length: 10\r\n",
        b"GET /agents HTTP/1.1\r\ncontent-length: 10\r\n",
        b"GET /nowhere HTTP/1.1\r\ncontent-length: 10\r\n",
        b"POST /healthz HTTP/1.1\r\ncontent-length: 10\r\n",
        b"POST /webhooks/github HTTP/1.1\r\ncontent-length: 10\r\n",
        b"GET /healthz HTTP/1.1\r\ntransfer-encoding: chunked\r\n",
    ],
)
async def test_an_answer_that_ends_before_its_request_ends_the_connection(
    head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LINGER_S", 0.05)
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(head + HOST + b"\r\n1")
        assert (await all_of(reader)).startswith(b"HTTP/1.1 ")
        await closed(server)


async def test_who_is_refused_before_its_body_reads_the_refusal_and_not_a_reset() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(b"POST /webhooks/github HTTP/1.1\r\ncontent-length: 8388608\r\n" + HOST + b"\r\n")
        for _ in range(128):
            writer.write(b"x" * 65_536)
            await writer.drain()
        assert (await all_of(reader)).startswith(b"HTTP/1.1 401")


async def test_empty_lines_between_requests_do_not_keep_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await reader.readuntil(b'"ok"}')).startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(protocol, "HEAD_PATIENCE", 0.05)
        writer.write(b"\r\n")
        await all_of(reader)
        await closed(server)


async def test_a_body_that_nobody_reads_and_that_does_not_end_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_PATIENCE", 0.05)
    started = asyncio.Event()

    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"event", "more_body": True})
        started.set()
        await asyncio.Event().wait()

    async with serving(app=streams) as server:
        reader, writer = await server.connect()
        writer.write(b"GET / HTTP/1.1\r\ncontent-length: 10\r\n" + HOST + b"\r\n1")
        await started.wait()
        answer = await all_of(reader)
        assert answer.count(b"HTTP/1.1") == 1
        await closed(server)


@pytest.mark.parametrize("line", [b"x-trailer: " + b"y" * 1000 + b"\r\n", b"y" * 1000])
async def test_trailers_are_counted(line: bytes) -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(b"POST /events HTTP/1.1\r\ntransfer-encoding: chunked\r\n" + HOST + b"\r\n2\r\n{}\r\n0\r\n")
        sent = 0
        with suppress(ConnectionError):
            while sent < 20 << 20:
                writer.write(line * 64)
                sent += len(line) * 64
                await writer.drain()
        assert sent < 20 << 20
        await all_of(reader)
        await closed(server)


async def test_trailers_and_extensions_of_chunks_stand_for_nothing() -> None:
    body = b'{"zen": "chunks"}'
    head = b"POST /webhooks/github HTTP/1.1\r\ntransfer-encoding: chunked\r\nx-github-event: ping\r\n" + HOST
    signature = b"x-hub-signature-256: " + signed(body).encode() + b"\r\n"
    chunks = b"".join(b"1;a=b\r\n" + bytes([byte]) + b"\r\n" for byte in body) + b"0\r\n"
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(
            head + signature + b"x-github-delivery: t-1\r\nconnection: close\r\n\r\n" + chunks + b"x-a: b\r\n\r\n"
        )
        assert (await all_of(reader)).startswith(b"HTTP/1.1 202")
        reader, writer = await server.connect()
        writer.write(head + b"\r\n" + chunks + signature + b"\r\n")
        assert (await all_of(reader)).startswith(b"HTTP/1.1 401")


async def test_an_endless_extension_of_a_chunk_is_the_end() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(b"POST /events HTTP/1.1\r\ntransfer-encoding: chunked\r\n" + HOST + b"\r\n2\r\n{}\r\n1;")
        writer.write(b"x" * (2 << 20))
        await all_of(reader)
        await closed(server)


@pytest.mark.parametrize(
    "smuggled",
    [
        b"content-length: 4\r\ntransfer-encoding: chunked\r\n",
        b"content-length: 4\r\ncontent-length: 5\r\n",
        b"content-length: +4\r\n",
        b"transfer-encoding: chunked, identity\r\n",
        b"transfer-encoding : chunked\r\n",
        b"x: y\r\n transfer-encoding: chunked\r\n",
    ],
)
async def test_a_request_of_two_lengths_is_never_two_requests(smuggled: bytes) -> None:
    inner = b"POST /runs HTTP/1.1\r\n" + HOST + b"content-length: 2\r\n\r\n{}"
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(b"POST /events HTTP/1.1\r\n" + HOST + smuggled + b"\r\n0\r\n\r\n" + inner)
        writer.write_eof()
        answer = await all_of(reader)
        assert answer.count(b"HTTP/1.1 4") <= 1
        assert b"HTTP/1.1 2" not in answer


async def test_bad_bytes_behind_a_request_are_not_answered_in_its_place() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await leave.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async with serving(app=slow) as server:
        reader, writer = await server.connect()
        writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        await entered.wait()
        writer.write(b"\x00nonsense\r\n\r\n")
        assert b"HTTP/1.1 400" not in await all_of(reader)
        leave.set()


async def test_pipelined_requests_are_answered_in_order_and_keep_the_connection() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        for path in (b"/healthz", b"/agents", b"/nowhere"):
            writer.write(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        writer.write(b"GET /healthz HTTP/1.1\r\nconnection: close\r\n" + HOST + b"\r\n")
        answer = await all_of(reader)
        assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"404", b"200"]


async def test_one_address_cannot_take_all_connections_and_gets_them_back() -> None:
    async with serving(bounded(2)) as server:
        held = [await server.connect() for _ in range(2)]
        reader, _ = await server.connect()
        answer = await all_of(reader)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in answer
        held[0][1].close()
        await until(lambda: len(server.state.connections) == 1)
        reader, writer = await server.connect()
        writer.write(b"GET /healthz HTTP/1.1\r\nconnection: close\r\n" + HOST + b"\r\n")
        assert (await all_of(reader)).startswith(b"HTTP/1.1 200")


async def test_no_connection_becomes_a_websocket() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        upgrade = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw==\r\n"
        writer.write(b"GET /healthz HTTP/1.1\r\nsec-websocket-version: 13\r\n" + upgrade + HOST + b"\r\n")
        async with asyncio.timeout(60):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
