"""Which hosts a model may reach by tools in one question: those it was given, never those that a page names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from streams.model.fence import as_json

URL = re.compile(r"(?i)\bhttps?://[^\s<>\"'`]+")
ANYWHERE = "*"


def named(*texts: Any) -> frozenset[str]:
    """Return the hosts of all URLs in texts and data."""
    found = (host_of(url) for text in _strings([as_json(one) for one in texts]) for url in URL.findall(text))
    return frozenset(host for host in found if host)


def beyond(arguments: Any, hosts: Iterable[str]) -> list[str]:
    """Return the hosts that a tool's arguments would reach and that are not among `hosts` (`*`: any)."""
    allowed = {host.lower() for host in hosts}
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
