"""Host and Origin headers: which names a server answers under, and whether a page of another site sends a request."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

EVERYWHERE: Final = ("0.0.0.0", "::", "")  # noqa: S104 - recognised, not bound
"""Hosts that stand for all addresses of this machine: of IPv4, of IPv6 (RFC 4291, 2.5.2), and of both."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a socket bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def in_url(host: str) -> str:
    """Return a host as URLs and Host headers have it: an IPv6 address in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def loopback_of(host: str) -> str:
    """Return the loopback address of the address family that a socket bound to `host` has."""
    return "::1" if ":" in host else "127.0.0.1"


def url_here(host: str, port: int) -> str:
    """Return the base URL under which this machine reaches a server that is bound to `host` and `port`.

    A socket bound to `::` takes no IPv4: asyncio and uvloop set IPV6_V6ONLY.
    """
    return f"http://{in_url(loopback_of(host) if host in EVERYWHERE else host)}:{port}"


def is_address(host: str) -> bool:
    """Return whether the name of a Host header is an IP address; DNS rebinding always has a name there."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def host_name(host: str) -> str:
    """Return a Host header's name without port and without the dot of the DNS root, in lower case."""
    if host.startswith("["):
        name, _, rest = host.partition("]")
        return f"{name}]".lower() if not rest or rest.startswith(":") else host.lower()
    return host.partition(":")[0].lower().removesuffix(".")


def host_of(url: str) -> str:
    """Return the name in a URL's authority as `host_name` does, empty when it has none."""
    return host_name(urlsplit(url).netloc.rpartition("@")[2])


def is_foreign(origin: str | None, host: str) -> bool:
    """Return whether the Origin header names another site than the Host header.

    `null`, which browsers send for sandboxed frames and files, is another site (WHATWG HTML, 7.1.1). A request
    without Origin does not come from a page's script.
    """
    if origin is None:
        return False
    return not host or origin.partition("://")[2].lower() != host.lower()
