"""Questions to workers over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from streams.query.wire import PARTITIONS, Wire
from tests.unit.refusing import refusing

SECRET = "s" * 32


@asynccontextmanager
async def worker(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield "http://{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


async def test_paths_go_out_as_they_are_and_partitions_come_back() -> None:
    async def answer(request: web.Request) -> web.Response:
        headers = {PARTITIONS: "0,3", "retry-after": "1"}
        return web.Response(status=503, text=request.raw_path + await request.text(), headers=headers)

    wire = Wire(SECRET)
    async with worker(answer) as url:
        said = await wire.get(f"{url}/owner/runs/a%2Fb?x=%3A", 60)
        assert said == (503, b"/owner/runs/a%2Fb?x=%3A", "1", frozenset({0, 3}))
        told = await wire.post(f"{url}/owner/grants", b"[1]", 60)
        assert told is not None
        assert told.body == b"/owner/grants[1]"
    await wire.aclose()


async def test_nobody_there_or_silent_is_no_answer() -> None:
    release = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    wire = Wire(SECRET)
    async with worker(answer) as url:
        assert await wire.get(f"{url}/x", 0.02) is None
        release.set()
    with refusing() as where:
        assert await wire.get(f"http://{where}/x", 60) is None
    await wire.aclose()


async def test_who_owns_nothing_speaks_for_no_partition() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(headers={PARTITIONS: ""})

    wire = Wire(SECRET)
    async with worker(answer) as url:
        said = await wire.get(f"{url}/x", 60)
    assert said is not None
    assert said.partitions == frozenset()
    await wire.aclose()


async def test_the_secret_goes_to_the_worker_and_not_where_it_points() -> None:
    shown: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        shown.append(request.headers.get("authorization", ""))
        return web.Response()

    async with worker(elsewhere) as other:

        async def points(request: web.Request) -> web.Response:
            assert request.headers["authorization"] == f"Bearer {SECRET}"
            raise web.HTTPFound(other)

        wire = Wire(SECRET)
        async with worker(points) as url:
            said = await wire.get(f"{url}/owner/runs", 60)
            assert said is not None
            assert said.status == 302
        await wire.aclose()
    assert shown == []
