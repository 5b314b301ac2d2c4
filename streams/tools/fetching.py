"""One guarded HTTP request for every tool: checked addresses, checked redirects, and caps on time and size."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from streams import settings
from streams.model.reach import HOSTS, host_of, within
from streams.tools.errors import FetchError, FetchRefusedError
from streams.tools.exchange import ExchangeLimits, Fetched
from streams.tools.guard import Policy, admit, system_resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.tools.guard import Resolve

USUAL = ExchangeLimits()
KEEPS_METHOD = frozenset({307, 308})
SAFE_ACROSS_ORIGINS = frozenset(
    {"accept", "accept-language"}
)  # others may be credentials, meant for the first host only


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
    limits: ExchangeLimits = USUAL,
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


async def _follow(
    url: str, method: str, headers: dict[str, str], body: bytes | None, limits: ExchangeLimits, network: Network
) -> Fetched:
    from streams.tools._dialling import dial  # noqa: PLC0415 - the HTTP client loads slowly, and commands import tools

    hops: list[str] = []
    _require_within(url)
    admitted = await admit(url, network.policy, network.resolve)
    while True:
        answer, location = await dial(admitted, method, headers, body, limits, tuple(hops))
        if location is None:
            return answer
        if len(hops) >= limits.redirects:
            raise FetchRefusedError(f"{url} redirected more than {limits.redirects} times.")
        hops.append(admitted.url)
        there = _joined(admitted.url, location)
        _require_within(there)
        following = await admit(there, network.policy, network.resolve)
        if following.origin != admitted.origin:
            headers = {name: value for name, value in headers.items() if name.lower() in SAFE_ACROSS_ORIGINS}
        if answer.status not in KEEPS_METHOD and method != "HEAD":
            method, body = "GET", None
        admitted = following


def _require_within(url: str) -> None:
    """Raise FetchRefusedError for a host beyond those that the call under way may reach, at its first hop and any."""
    host, hosts = host_of(url), HOSTS.get()
    if not within(host, hosts):
        raise FetchRefusedError(
            f"{host or 'what has no host'} is not fetched: this call may reach only {', '.join(sorted(hosts or ()))}: "
            "name the host in the prompt, or give hosts=[...] to run.llm."
        )


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise FetchRefusedError(f"{url} redirects to what is no URL ({error}).") from error
