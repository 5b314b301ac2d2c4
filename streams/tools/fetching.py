"""One guarded HTTP request for every tool: checked addresses, checked redirects, and caps on time and size."""

from __future__ import annotations

import asyncio
import socket
import zlib
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from streams import settings
from streams.tools.errors import FetchError, FetchRefusedError
from streams.tools.guard import Policy, admit, socket_factory, system_resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.tools.guard import Admitted, Resolve

AGENT = "StreamsBot/0.1"
CHUNK = 65_536
REDIRECTS = frozenset({301, 302, 303, 307, 308})
KEEPS_METHOD = frozenset({307, 308})
KEPT_ACROSS_ORIGINS = frozenset(
    {"accept", "accept-language"}
)  # others may be credentials, meant for the first host only
ALREADY_ENCODED = "%/:@!$&'()*+,;=~"  # left alone in a URL's path: only what is illegal there gets encoded
AUTO_HEADER = 47  # zlib's window bits for "gzip or zlib, whichever it is"


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps of one fetch, redirects included: bytes after decompression, seconds, and hops."""

    max_bytes: int = 5_000_000
    seconds: float = 20.0
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete answer; header names are lower case, `body` is decompressed, `hops` are the URLs that redirected."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    hops: tuple[str, ...] = ()

    @property
    def content_type(self) -> str:
        """The media type, lower case and without parameters; empty if the server gave none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Network:
    """What a fetch may reach, and who resolves names."""

    policy: Policy
    resolve: Resolve = system_resolve


NETWORK: ContextVar[Network | None] = ContextVar("network", default=None)  # set by tests and by shadow runs


@cache
def _configured() -> Network:
    return Network(Policy.of(settings.load()))


async def fetch(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    limits: Limits = Limits(),
) -> Fetched:
    """Return the answer of any status, redirects followed.

    Raises FetchRefusedError for what must not be fetched (a private address at any hop, too large, too many hops) and
    FetchError when the host does not answer properly in time.
    """
    network = NETWORK.get() or _configured()
    try:
        async with asyncio.timeout(limits.seconds):
            return await _follow(url, method, dict(headers or {}), body, limits, network)
    except TimeoutError as error:
        raise FetchError(f"{url} was not complete within {limits.seconds:g} s.") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchError(f"{url} cannot be fetched ({type(error).__name__}: {error}).") from error


async def _follow(
    url: str, method: str, headers: dict[str, str], body: bytes | None, limits: Limits, network: Network
) -> Fetched:
    hops: list[str] = []
    admitted = await admit(url, network.policy, network.resolve)
    while True:
        answer, location = await _once(admitted, method, headers, body, limits, tuple(hops))
        if location is None:
            return answer
        if len(hops) >= limits.redirects:
            raise FetchRefusedError(f"{url} redirected more than {limits.redirects} times.")
        hops.append(admitted.url)
        following = await admit(urljoin(admitted.url, location), network.policy, network.resolve)
        if following.origin != admitted.origin:
            headers = {name: value for name, value in headers.items() if name.lower() in KEPT_ACROSS_ORIGINS}
        if answer.status not in KEEPS_METHOD and method != "HEAD":
            method, body = "GET", None
        admitted = following


async def _once(
    admitted: Admitted, method: str, headers: dict[str, str], body: bytes | None, limits: Limits, hops: tuple[str, ...]
) -> tuple[Fetched, str | None]:
    """Make one request on a connection of its own; nothing, cookies included, is shared between fetches."""
    connector = aiohttp.TCPConnector(
        resolver=_Pinned(admitted), use_dns_cache=False, force_close=True, socket_factory=socket_factory(admitted)
    )
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(limits.seconds, 10.0)),
    )
    sent = {"User-Agent": AGENT, **headers, "Accept-Encoding": "gzip, deflate"}
    async with (
        session,
        session.request(method, _url(admitted), headers=sent, data=body, allow_redirects=False) as response,
    ):
        received = {name.lower(): value for name, value in response.headers.items()}
        location = received.get("location") if response.status in REDIRECTS else None
        content = b"" if location is not None else await _read(response, limits.max_bytes, admitted.url)
        return Fetched(admitted.url, response.status, received, content, hops), location


def _url(admitted: Admitted) -> URL:
    """Build the client's URL from checked parts, so that the client does not read the text its own way."""
    return URL.build(
        scheme=admitted.scheme,
        host=admitted.host,
        port=admitted.port,
        path=quote(admitted.path, safe=ALREADY_ENCODED),
        query_string=quote(admitted.query, safe=ALREADY_ENCODED + "?"),
        encoded=True,
    )


class _Pinned(AbstractResolver):
    """Answers the client's own lookup with the addresses that were checked."""

    def __init__(self, admitted: Admitted) -> None:
        self._admitted = admitted

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the checked addresses; OSError for any other host."""
        if host.removesuffix(".") != self._admitted.host:
            raise OSError(f"{host} is not the host that was checked")
        del family  # both, in the order of the lookup
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._admitted.addresses
        ]

    async def close(self) -> None:
        """Hold nothing, so there is nothing to close."""


async def _read(response: aiohttp.ClientResponse, cap: int, url: str) -> bytes:
    """Return the body, decompressed; refused as soon as it passes the cap, so a bomb costs no more than that."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", "", "gzip", "x-gzip", "deflate"}:
        raise FetchRefusedError(f"{url} came in the encoding {encoding!r}, which was not asked for.")
    unpack = None if encoding in {"identity", ""} else zlib.decompressobj(AUTO_HEADER)
    body = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK):
        try:
            body += chunk if unpack is None else unpack.decompress(chunk, cap + 1 - len(body))
        except zlib.error as error:
            raise FetchRefusedError(f"{url} is not valid {encoding} ({error}).") from error
        if len(body) > cap:
            raise FetchRefusedError(f"{url} is larger than {cap:,} bytes.")
    return bytes(body)
