"""What a fetch may cost and what it brings, in types that know no HTTP client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

AGENT = "StreamsBot/0.1"


@dataclass(frozen=True, slots=True)
class ExchangeLimits:
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
