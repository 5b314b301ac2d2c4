"""The HTTP client of the tools: dials a checked address, reads at most so much, follows nothing."""

from __future__ import annotations

import socket
import zlib
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from streams.tools.errors import FetchError, FetchRefusedError
from streams.tools.exchange import AGENT, Fetched
from streams.tools.guard import socket_factory

if TYPE_CHECKING:
    from streams.tools.exchange import ExchangeLimits
    from streams.tools.guard import Admitted

CHUNK = 65_536
REDIRECTS = frozenset({301, 302, 303, 307, 308})
ALREADY_ENCODED = "%/:@!$&'()*+,;=~"  # left alone in a URL's path: only what is illegal there gets encoded
AUTO_HEADER = 47  # zlib's window bits for "gzip or zlib, whichever it is"


async def dial(
    admitted: Admitted,
    method: str,
    headers: dict[str, str],
    body: bytes | None,
    limits: ExchangeLimits,
    hops: tuple[str, ...],
) -> tuple[Fetched, str | None]:
    """Make one request on a connection of its own, and return the answer and where it redirects to, if it does.

    Nothing, cookies included, is shared between fetches. Raises FetchError for what goes wrong on the way, and
    FetchRefusedError for a body that is out of bounds.
    """
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
    request = session.request(method, _url(admitted), headers=sent, data=body, allow_redirects=False)
    try:
        async with session, request as response:
            received = {name.lower(): value for name, value in response.headers.items()}
            location = received.get("location") if response.status in REDIRECTS else None
            content = b"" if location is not None else await _read(response, limits.max_bytes, admitted.url)
    except TimeoutError:
        raise  # of the whole fetch: its caller knows how long that was
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchError(f"{admitted.url} cannot be fetched ({type(error).__name__}: {error}).") from error
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
    received = 0  # counted as well, because what comes after the end of a compressed body makes none
    async for chunk in response.content.iter_chunked(CHUNK):
        received += len(chunk)
        try:
            body += chunk if unpack is None else unpack.decompress(chunk, cap + 1 - len(body))
        except zlib.error as error:
            raise FetchRefusedError(f"{url} is not valid {encoding} ({error}).") from error
        if max(len(body), received) > cap:
            raise FetchRefusedError(f"{url} is larger than {cap:,} bytes.")
    if unpack is not None and received and not unpack.eof:
        raise FetchError(f"{url} ends in the middle of its {encoding}.")
    return bytes(body)
