"""A worker answers its cluster and nobody else; what is refused costs no body."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message

from streams.query.cluster import authorization
from streams.query.wire import Wire
from streams.serving.hosts import LOCAL_HOSTS
from streams.worker.http.app import Server, reached_at
from streams.worker.http.cluster_guard import OPEN, ClusterGuard

SECRET = "s" * 32
CLUSTER = {"authorization": authorization(SECRET), "content-type": "application/json"}
PATHS = ("/owner/runs", "/owner/breakers/search", "/owner/answers/abc", "/standby/runs/1", "/nowhere")


async def echo(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


def guarded(hosts: frozenset[str] = LOCAL_HOSTS, cap: int = 1000) -> ClusterGuard:
    return ClusterGuard(Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST"])]), SECRET, hosts, cap)


@asynccontextmanager
async def client(guard: ClusterGuard | None = None) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=guard or guarded())
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8100") as made:
        yield made


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shown", [None, "Bearer x", f"Basic {SECRET}", SECRET, f"Bearer {SECRET}\t1"])
async def test_nothing_is_told_or_taken_without_the_secret(path: str, shown: str | None) -> None:
    headers = {} if shown is None else {"authorization": shown}
    async with client() as http:
        for answer in (await http.get(path, headers=headers), await http.post(path, json={}, headers=headers)):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert SECRET not in answer.text


async def test_the_cluster_is_served_and_probes_are_open() -> None:
    async with client() as http:
        assert (await http.get("/owner/runs", headers=CLUSTER)).text == "0"
        assert (await http.post("/owner/grants", content=b"{}", headers=CLUSTER)).text == "2"
        for path in OPEN:
            assert (await http.get(path)).status_code == 200
            assert (await http.post(path, json={})).status_code == 401


@pytest.mark.parametrize(
    ("host", "fine"),
    [
        ("127.0.0.1:8100", True),
        ("localhost:8100", True),
        ("LOCALHOST.:8100", True),
        ("[::1]:8100", True),
        ("10.1.2.3:8100", True),
        ("rebound.example:8100", False),
        ("127.0.0.1.rebound.example", False),
        ("localhost.rebound.example", False),
        ("127.0.0.1@rebound.example", False),
        ("[::1].rebound.example", False),
    ],
)
async def test_a_name_rebound_to_loopback_is_refused_with_and_without_the_secret(host: str, *, fine: bool) -> None:
    async with client() as http:
        for path, headers in (("/metrics", {}), ("/readyz", {}), ("/owner/runs", CLUSTER)):
            answer = await http.get(path, headers={**headers, "host": host})
            assert answer.status_code == (200 if fine else 403), host


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://127.0.0.1:1", "http://127.0.0.1", "", "x"])
async def test_pages_of_other_sites_are_refused(origin: str) -> None:
    async with client() as http:
        for path in ("/metrics", "/owner/runs"):
            assert (await http.get(path, headers={**CLUSTER, "origin": origin})).status_code == 403


async def test_a_null_origin_is_refused_without_a_host_too() -> None:
    told: list[int] = []

    async def send(message: Message) -> None:
        told.append(message.get("status", 0))

    async def receive() -> Message:
        raise AssertionError("the body was asked for")

    scope = {"type": "http", "method": "POST", "path": "/owner/runs", "headers": [(b"origin", b"null")]}
    await guarded()(scope, receive, send)
    assert told[0] == 403


async def test_two_hosts_are_refused() -> None:
    async with client() as http:
        headers = [("host", "127.0.0.1"), ("host", "evil.example"), *CLUSTER.items()]
        assert (await http.get("/owner/runs", headers=headers)).status_code == 403


async def test_only_json_of_bounded_size_is_taken() -> None:
    async with client() as http:
        plain = {**CLUSTER, "content-type": "text/plain"}
        assert (await http.post("/owner/grants", content=b"{}", headers=plain)).status_code == 415
        assert (await http.post("/owner/grants", content=b" " * 1000, headers=CLUSTER)).text == "1000"
        assert (await http.post("/owner/grants", content=b" " * 1001, headers=CLUSTER)).status_code == 413

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(11):
                yield b" " * 100

        assert (await http.post("/owner/grants", content=chunks(), headers=CLUSTER)).status_code == 413


@asynccontextmanager
async def serving(host: str = "127.0.0.1", url: str | None = None) -> AsyncIterator[tuple[str, Server]]:
    tasks: list[asyncio.Task[None]] = []
    server = Server(guarded(), host, 0, url)
    try:
        yield await server.start(lambda work: tasks.append(asyncio.ensure_future(work))), server
    finally:
        server.stop()
        await asyncio.gather(*tasks)


async def test_the_wire_shows_the_secret_and_another_one_is_told_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as (url, _):
        for secret, status in ((SECRET, 200), ("x" * 32, 503)):
            wire = Wire(secret)
            said = [await wire.post(f"{url}/owner/grants", b"{}", 60) for _ in range(2)]
            await wire.aclose()
            assert [one.status for one in said if one is not None] == [status, status]
    assert b"STREAMS_CLUSTER_SECRET" in said[0].body if said[0] is not None else False
    assert len([record for record in caplog.records if "STREAMS_CLUSTER_SECRET" in record.message]) == 1
    assert SECRET not in caplog.text
    assert "x" * 32 not in caplog.text


async def test_a_worker_with_an_url_of_its_own_serves_all_the_same() -> None:
    async with serving(url="http://worker-0:8100") as (url, server):
        assert url == "http://worker-0:8100"
        (host, port, *_) = server.address
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"http://{host}:{port}/healthz")).status_code == 200


async def test_a_worker_on_all_addresses_is_reached_by_its_name() -> None:
    async with serving("0.0.0.0") as (url, server):
        assert url == f"http://{socket.gethostname()}:{server.address[1]}"
    assert reached_at("::") == reached_at("") == socket.gethostname()
    assert (reached_at("::1"), reached_at("[::1]"), reached_at("10.0.0.1")) == ("[::1]", "[::1]", "10.0.0.1")
