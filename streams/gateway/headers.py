"""Which headers of a delivery are stored with it: those that a source needs to read it again, and no credentials.

An allow-list: senders and proxies put secrets into headers of any name, and every key with scope `read` can
read what is stored.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streams.define.sources import SourceDef

_STORED: Final = frozenset(
    {
        "content-type",
        "content-encoding",
        "content-language",
        "user-agent",
        "date",
        "idempotency-key",
        "traceparent",
        "tracestate",
        "webhook-id",
        "webhook-timestamp",
        "svix-id",
        "svix-timestamp",
        "x-slack-request-timestamp",
        "x-slack-retry-num",
        "x-slack-retry-reason",
    }
)
_DESCRIPTIVE: Final = frozenset({"event", "topic", "delivery", "type", "action", "attempt", "version"})
"""Last parts of the names of headers that describe a delivery: `x-gitlab-event`, `x-shopify-topic`."""

_CREDENTIAL: Final = re.compile(r"auth|cookie|credential|jwt|key|pass|secret|session|sign|token")


def plain(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by lower-case name; of a doubled one the values are joined, so that no check takes its pick."""
    found: dict[str, str] = {}
    for raw, value in headers:
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def stored(source: SourceDef, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that are stored; a source adds others with `keep=`."""
    named = {*source.keep, *((source.once_per.lower(),) if isinstance(source.once_per, str) else ())}
    return {name: value for name, value in headers.items() if name in named or name in _STORED or _is_descriptive(name)}


def _is_descriptive(name: str) -> bool:
    return name.rpartition("-")[2] in _DESCRIPTIVE and _CREDENTIAL.search(name) is None
