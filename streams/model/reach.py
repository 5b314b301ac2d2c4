"""Which hosts a model may reach by tools in one question: those it was given, never those that a page names.

The hosts travel with the call of a tool: whoever fetches for it looks at them at every hop, since a page that may be
read can redirect to one that may not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from streams.model.fence import as_json

URL = re.compile(r"(?i)\bhttps?://[^\s<>\"'`]+")
ANYWHERE = "*"
HOSTS: ContextVar[frozenset[str] | None] = ContextVar("hosts", default=None)  # of the call under way; None: any


@contextmanager
def reaching(hosts: frozenset[str] | None) -> Iterator[None]:
    """Bind the tools that are called, or whose call is made, in this block to hosts.

    A coroutine that an engine drives shares its context with others, so it may await nothing within the block; a task
    of its own may.
    """
    token = HOSTS.set(hosts)
    try:
        yield
    finally:
        HOSTS.reset(token)


def within(host: str, hosts: frozenset[str] | None) -> bool:
    """Return whether a host may be reached."""
    return hosts is None or ANYWHERE in hosts or host.rstrip(".").lower() in hosts


def named(*texts: Any) -> frozenset[str]:
    """Return the hosts of all URLs in texts and data."""
    found = (host_of(url) for text in _strings([as_json(one) for one in texts]) for url in URL.findall(text))
    return frozenset(host for host in found if host)


def beyond(arguments: Any, hosts: Iterable[str]) -> list[str]:
    """Return the hosts that a tool's arguments would reach and that are not among `hosts` (`*`: any)."""
    allowed = frozenset(host.lower() for host in hosts)
    if ANYWHERE in allowed:
        return []
    urls = (text.strip() for text in _strings(arguments) if re.match(r"(?i)\s*[a-z][a-z0-9+.-]*:", text))
    reached = {host_of(url) for url in urls if URL.match(url)}
    return sorted(reached - allowed)


def host_of(url: str) -> str:
    """Return the host of a URL in lower case; empty if it has none."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
