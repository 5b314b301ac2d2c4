"""Keeps tools out of private networks: one check of the URL, one lookup, and only a checked address is dialled.

A model chooses what is fetched, and a page can instruct the model what to choose, so every URL is hostile. The name is
resolved once, all its addresses must be public, and the socket goes to exactly one of them; a second lookup, as an
HTTP client makes on its own, could answer differently. Redirects come here again, each as a new URL.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from streams.tools.errors import FetchError, FetchRefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streams.settings import Settings

    Resolve = Callable[[str, int], Awaitable[list[str]]]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
PORTS = {"http": 80, "https": 443}
PRIVATE_NAMES = (
    ".localhost",
    ".local",
    ".internal",
    ".localdomain",
    ".lan",
    ".intranet",
    ".corp",
    ".home",
    ".home.arpa",
)
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
REFUSED_NETWORKS: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments; a cloud's metadata service sits here
    ipaddress.IPv4Network("192.88.99.0/24"),  # 6to4 relays
    ipaddress.IPv4Network("168.63.129.16/32"),  # public by its number, but inside every Azure host
    ipaddress.IPv6Network("2001::/23"),  # Teredo and other assignments that may carry an IPv4 address
    ipaddress.IPv6Network("2002::/16"),  # 6to4 carries an IPv4 address
    ipaddress.IPv6Network("3fff::/20"),  # documentation
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be fetched: public hosts on `ports`, and what is in `allow` by that name.

    `host:port` allows that port, `host` the ports 80 and 443.
    """

    allow: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset({80, 443, 8000, 8008, 8080, 8443})

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        """Return the policy that STREAMS_FETCH_ALLOW asks for."""
        return cls(frozenset(item.lower() for item in settings.fetch_allow))

    def allows(self, host: str, port: int) -> bool:
        """Return whether a private host is allow-listed; a name does not inherit the right of its address.

        A host without a port stands for the ports of http and https only: what else listens there is another service.
        """
        shown = f"[{host}]" if ":" in host else host
        wanted = {f"{shown}:{port}"} | ({host, shown} if port in PORTS.values() else set())
        return not self.allow.isdisjoint(wanted)

    def hint(self, host: str, port: int) -> str:
        """Return what to add to the setting for a host that is allow-listed for the ports of http and https only."""
        if self.allows(host, port) or not self.allows(host, PORTS["http"]):
            return ""
        shown = f"[{host}]" if ":" in host else host
        return f" (STREAMS_FETCH_ALLOW has {host} for ports 80 and 443 only: add {shown}:{port})"


@dataclass(frozen=True, slots=True)
class Admitted:
    """A URL that passed, in parts that leave nothing to a second parser, and the addresses to dial."""

    scheme: str
    host: str
    port: int
    path: str
    query: str
    addresses: tuple[str, ...]

    @property
    def origin(self) -> str:
        """Scheme, host and port, the port only when it is not the scheme's own."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{shown}" if self.port == PORTS[self.scheme] else f"{self.scheme}://{shown}:{self.port}"

    @property
    def url(self) -> str:
        """The URL again, without its fragment."""
        return f"{self.origin}{self.path}{'?' if self.query else ''}{self.query}"


async def system_resolve(host: str, port: int) -> list[str]:
    """Return all addresses of a name, IPv4 and IPv6, by the system's resolver; OSError if it has none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


async def admit(url: str, policy: Policy, resolve: Resolve = system_resolve) -> Admitted:
    """Check a URL and look its host up, once.

    Raises FetchRefusedError for a URL that must not be fetched, and FetchError when its name cannot be resolved now.
    """
    parts = _split(url)
    host = _host(parts, url)
    port = _port(parts, url)
    allowed = policy.allows(host, port)
    hint = policy.hint(host, port)
    if not allowed and port not in policy.ports:
        raise _refused(url, f"port {port} is not one of {', '.join(map(str, sorted(policy.ports)))}{hint}")
    literal = _literal(host, url)
    if literal is None and not allowed and ("." not in host or host.endswith(PRIVATE_NAMES)):
        raise _refused(url, f"{host} is a name of private networks{hint}")
    found = [str(literal)] if literal is not None else await _looked_up(host, port, resolve)
    for address in found:
        if not allowed and not is_public(address):
            raise _refused(url, f"{host} has the address {address}, which is not public{hint}")
    path = parts.path if parts.path.startswith("/") else "/"
    return Admitted(parts.scheme, str(literal or host), port, path, parts.query, tuple(found))


def is_public(address: str) -> bool:
    """Return whether an address is reachable from everywhere and carries no other one; False if it is none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed not in GLOBAL_UNICAST:
        return False  # mapped, compatible and translated IPv4, loopback, link and site local, unique local, multicast
    if parsed.is_multicast or parsed.is_reserved or not parsed.is_global:
        return False
    return not any(parsed in network for network in REFUSED_NETWORKS if network.version == parsed.version)


async def _looked_up(host: str, port: int, resolve: Resolve) -> list[str]:
    try:
        found = await resolve(host, port)
    except OSError as error:
        raise FetchError(f"{host} cannot be resolved ({error}); is the name right?") from error
    if not found:
        raise FetchError(f"{host} has no address; is the name right?")
    return found


def socket_factory(admitted: Admitted) -> Callable[[Any], socket.socket]:
    """Return what opens sockets for `admitted` only: the last gate, past all that a client may do on its own."""

    def opened(info: Any) -> socket.socket:
        family, kind, protocol, _, where = info
        if where[0] not in admitted.addresses:
            raise _refused(admitted.url, f"the client wanted to dial {where[0]}, which was not checked")
        return socket.socket(family, kind, protocol)

    return opened


def _split(url: str) -> SplitResult:
    if any(character <= " " or character in "\\\x7f" for character in url):
        raise _refused(url, "it has blanks, control characters or backslashes, which parsers read differently")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _refused(url, str(error)) from error
    if parts.scheme not in PORTS:
        raise _refused(url, "only http and https are fetched")
    if "@" in parts.netloc:
        raise _refused(url, "it has a user name before the host")
    return parts


def _port(parts: SplitResult, url: str) -> int:
    try:
        return PORTS[parts.scheme] if parts.port is None else parts.port
    except ValueError as error:
        raise _refused(url, str(error)) from error


def _host(parts: SplitResult, url: str) -> str:
    """Return the host in ASCII, lower case, without a trailing dot; all dots of Unicode are dots."""
    host = unicodedata.normalize("NFKC", parts.hostname or "").replace("\u3002", ".").lower().removesuffix(".")
    if "%" in host:
        raise _refused(url, "its host has an escape or a zone")
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError as error:
            raise _refused(url, f"its host is no name ({error})") from error
    if not host or ("." in host and not all(host.split("."))):
        raise _refused(url, "it has no host")
    return host


def _literal(host: str, url: str) -> Address | None:
    """Return the address if the host is one, also as C libraries read it (`127.1`, `0x7f000001`, `2130706433`)."""
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host)
        except ValueError as error:
            raise _refused(url, str(error)) from error
    last = host.rpartition(".")[2]
    if not (last.isdigit() or last.startswith("0x")):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError as error:
        raise _refused(url, "its host ends in a number but is no address") from error


def _refused(url: str, why: str) -> FetchRefusedError:
    shown = url if len(url) <= 200 else f"{url[:200]}…"
    return FetchRefusedError(f"{shown!r} is not fetched: {why}.")
