"""Fetching over real sockets: redirects into private networks, names that change their minds, and endless bodies."""

from __future__ import annotations

import asyncio
import gzip
import os
import zlib

import pytest
from aiohttp import web

from streams.model.reach import reaching
from streams.tools.errors import FetchError, FetchRefusedError
from streams.tools.exchange import ExchangeLimits
from streams.tools.fetching import fetch
from tests.unit.refusing import refusing
from tests.unit.tools._site import Handler, Names, html, network, redirect, site
from tests.unit.tools.test_guard import REFUSED

SMALL = ExchangeLimits(max_bytes=10_000, seconds=60)


def leads_elsewhere(url: str) -> bool:
    """Leave out URLs without scheme or host: they mean a place on the same server."""
    return "://" in url and not url.startswith("http:///") and url != "http://" and "\t" not in url


def host(origin: str) -> str:
    return origin.removeprefix("http://")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("url", [url for url in REFUSED if url.isascii() and leads_elsewhere(url)])
async def test_a_redirect_to_a_refused_place_is_refused(url: str, status: int) -> None:
    async with site({"/": redirect(url, status)}) as (origin, asked):
        with network(host(origin)), pytest.raises((FetchRefusedError, FetchError)):
            await fetch(f"{origin}/")
        assert asked == ["/"]


async def test_the_second_address_of_a_name_is_never_asked_for() -> None:
    """The first lookup gives the address that is checked and dialled; a later, private answer is not seen at all."""

    class Flips(Names):
        async def __call__(self, name: str, port: int) -> list[str]:
            answer = await super().__call__(name, port)
            self.table[name] = ["10.0.0.7"]
            return answer

    async with site({"/": html("hello")}) as (origin, _):
        port = origin.rpartition(":")[2]
        names = Flips({"flip.example": ["127.0.0.1"]})
        with network(f"flip.example:{port}", names=names):
            answer = await fetch(f"http://flip.example:{port}/")
            assert answer.body == b"hello"
        assert names.asked == ["flip.example"]


async def test_a_name_that_flips_between_redirects_is_checked_again() -> None:
    """A host may redirect to itself once its name has turned private."""

    class Flips(Names):
        async def __call__(self, name: str, port: int) -> list[str]:
            await super().__call__(name, port)
            return ["93.184.216.34"] if self.asked.count(name) > 1 else ["169.254.169.254"]

    async with site({"/": redirect("http://flip.example/")}) as (origin, _):
        with network(host(origin), names=Flips({"flip.example": ["x"]})), pytest.raises(FetchRefusedError):
            await fetch(f"{origin}/")


async def test_the_server_sees_the_name_that_was_asked_for() -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=request.headers["Host"])

    async with site({"/": echo}) as (origin, _):
        port = origin.rpartition(":")[2]
        with network(f"named.example:{port}", names=Names({"named.example": ["127.0.0.1"]})):
            answer = await fetch(f"http://named.example:{port}/")
    assert answer.body.decode() == f"named.example:{port}"


async def test_redirects_are_followed_and_a_loop_ends() -> None:
    routes = {"/a": redirect("/b?x=1", 307), "/b": html("there"), "/loop": redirect("/loop")}
    async with site(routes) as (origin, asked):
        with network(host(origin)):
            answer = await fetch(f"{origin}/a")
            assert (answer.url, answer.hops) == (f"{origin}/b?x=1", (f"{origin}/a",))
            with pytest.raises(FetchRefusedError, match="more than 5 times"):
                await fetch(f"{origin}/loop")
    assert asked.count("/loop") == 6


async def test_credentials_do_not_follow_to_another_origin() -> None:
    seen: list[dict[str, str]] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(dict(request.headers))
        return web.Response()

    async with site({"/there": note}) as (other, _), site({"/": redirect(f"{other}/there", 307)}) as (origin, _):
        with network(host(origin), host(other)):
            await fetch(f"{origin}/", method="POST", headers={"Authorization": "canary", "X-Key": "canary"}, body=b"x")
    assert "canary" not in str(seen)


async def _slowly(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/html"})
    await response.prepare(request)
    await response.write(b"x")
    await asyncio.Event().wait()
    return response


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 65_536)


def _packed(body: bytes, encoding: str) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Encoding": encoding, "Content-Type": "text/html"})

    return handle


async def test_a_body_that_trickles_ends_at_the_time_cap() -> None:
    async with site({"/": _slowly}) as (origin, _):
        with network(host(origin)), pytest.raises(FetchError, match="not complete within"):
            await fetch(f"{origin}/", limits=ExchangeLimits(seconds=0.2))


@pytest.mark.parametrize(
    "handler",
    [
        _endless,
        _packed(gzip.compress(b"0" * 50_000_000), "gzip"),
        _packed(gzip.compress(gzip.compress(b"0" * 50_000_000))[:200], "br"),
        _packed(b"no gzip at all", "gzip"),
        _packed(zlib.compress(b"0" * 50_000_000), "deflate"),
        _packed(gzip.compress(b"small") + b"0" * 50_000, "gzip"),
        _packed(os.urandom(20_000), ""),
    ],
    ids=[
        "endless",
        "gzip bomb",
        "encoding not asked for",
        "not what it says",
        "deflate bomb",
        "more after the end",
        "too large as it is",
    ],
)
async def test_a_body_out_of_bounds_is_refused(handler: Handler) -> None:
    async with site({"/": handler}) as (origin, _):
        with network(host(origin)), pytest.raises(FetchRefusedError):
            await fetch(f"{origin}/", limits=SMALL)


async def test_a_compressed_body_that_stops_early_is_an_error_and_no_text() -> None:
    whole = gzip.compress(os.urandom(5_000))
    async with site({"/": _packed(whole[: len(whole) // 2], "gzip")}) as (origin, _):
        with network(host(origin)), pytest.raises(FetchError, match="in the middle"):
            await fetch(f"{origin}/", limits=SMALL)


async def test_a_content_length_that_lies_is_an_error_not_a_hang() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    where = "{}:{}".format(*server.sockets[0].getsockname())
    async with server:
        with network(where), pytest.raises(FetchError):
            await fetch(f"http://{where}/", limits=SMALL)


@pytest.mark.parametrize(("pack", "encoding"), [(gzip.compress, "gzip"), (zlib.compress, "deflate")])
async def test_compressed_bodies_are_read(pack: object, encoding: str) -> None:
    body = pack(b"hello" * 100)  # type: ignore[operator]
    async with site({"/": _packed(body, encoding)}) as (origin, _):
        with network(host(origin)):
            assert (await fetch(f"{origin}/", limits=SMALL)).body == b"hello" * 100


async def test_a_host_that_is_not_there_may_be_tried_again() -> None:
    with refusing() as where, network(where), pytest.raises(FetchError):
        await fetch(f"http://{where}/")


async def test_the_hosts_of_a_call_hold_at_every_hop() -> None:
    """An open redirect on a page that may be read does not lead to a host that may not: it is not even looked up."""
    names = Names({"good.example": ["127.0.0.1"], "evil.example": ["127.0.0.1"]})
    pages: dict[str, Handler] = {}
    async with site(pages) as (origin, asked):
        port = origin.rpartition(":")[2]
        pages["/away"] = redirect(f"http://evil.example:{port}/steal")
        pages["/two"] = redirect("/away", 307)
        pages["/here"] = redirect("/page")
        pages["/page"] = html("hello")
        pages["/steal"] = html("stolen")
        with network(f"good.example:{port}", f"evil.example:{port}", names=names):
            with reaching(frozenset({"good.example"})):
                assert (await fetch(f"http://good.example:{port}/here")).body == b"hello"
                assert (await fetch(f"http://GOOD.example.:{port}/page")).body == b"hello"
                for path in ("away", "two"):
                    with pytest.raises(FetchRefusedError, match=r"evil\.example is not fetched"):
                        await fetch(f"http://good.example:{port}/{path}")
                with pytest.raises(FetchRefusedError, match=r"evil\.example is not fetched"):
                    await fetch(f"http://evil.example:{port}/steal")
                assert "/steal" not in asked
                assert "evil.example" not in names.asked
            with reaching(frozenset({"*"})):
                assert (await fetch(f"http://good.example:{port}/away")).body == b"stolen"
            assert (await fetch(f"http://good.example:{port}/away")).body == b"stolen"
