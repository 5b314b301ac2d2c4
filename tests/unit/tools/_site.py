"""Pages on loopback, and a network in which names mean what a test says, so that sockets are real."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from streams.tools import robots
from streams.tools.fetching import NETWORK, Network
from streams.tools.guard import Policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Names:
    """A resolver that answers from a table and remembers what it was asked; a list of lists gives one answer a time."""

    def __init__(self, table: Mapping[str, list[str]] | None = None) -> None:
        self.table = dict(table or {})
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host not in self.table:
            raise OSError(f"unknown name {host}:{port}")
        return self.table[host]


@contextmanager
def network(*allow: str, names: Names | None = None) -> Iterator[Names]:
    """Let fetches of this test reach public addresses and `allow`, by the given names."""
    known = names or Names()
    token = NETWORK.set(Network(Policy(frozenset(allow)), known))
    robots.forget()
    try:
        yield known
    finally:
        NETWORK.reset(token)


@asynccontextmanager
async def site(routes: Mapping[str, Handler]) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve handlers by path; give the origin and the list of paths asked for. There is no robots.txt unless given."""
    asked: list[str] = []

    async def any_path(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if request.path not in routes:
            return web.Response(status=404)
        return await routes[request.path](request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", any_path)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


def html(text: str, **options: object) -> Handler:
    """Return a handler that answers with a page."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html", **options)  # type: ignore[arg-type]

    return handle


def redirect(to: str, status: int = 302) -> Handler:
    """Return a handler that sends the client elsewhere."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": to})

    return handle
