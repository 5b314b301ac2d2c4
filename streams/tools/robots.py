"""Asks a site's robots.txt (RFC 9309) before a page is fetched, because crawlers that do not get everyone blocked."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import urlsplit

from streams import clock
from streams.tools.errors import FetchError, FetchRefusedError
from streams.tools.exchange import AGENT, Limits
from streams.tools.fetching import fetch

TOKEN = AGENT.partition("/")[0].lower()
LIMITS = Limits(max_bytes=512_000, seconds=10.0)  # RFC 9309 asks to read at least 500 KiB
KEPT_SECONDS = 3600.0
KEPT_SITES = 1000


@dataclass(frozen=True, slots=True)
class Rules:
    """The paths that one site allows and disallows to us, as (pattern, allowed)."""

    paths: tuple[tuple[str, bool], ...] = ()

    @classmethod
    def parse(cls, text: str, token: str = TOKEN) -> Rules:
        """Read a robots.txt: the groups that name `token`, or else those for all; unknown lines are skipped."""
        groups: dict[str, list[tuple[str, bool]]] = {}
        agents: list[str] = []
        naming = False
        for line in text.splitlines():
            field, _, value = (part.strip() for part in line.partition("#")[0].partition(":"))
            match field.lower():
                case "user-agent":
                    agents = [*agents, value.lower()] if naming else [value.lower()]
                    naming = True
                case "allow" | "disallow" as word:
                    naming = False
                    for agent in agents:
                        groups.setdefault(agent, []).extend([(value, word == "allow")] if value else [])
        own = [agent for agent in groups if agent != "*" and token.startswith(agent)]
        return cls(tuple(groups[max(own, key=len)] if own else groups.get("*", [])))

    def allow(self, path: str) -> bool:
        """Return whether a path with its query may be fetched: the longest match decides, allow wins a tie."""
        matching = [(len(pattern), allowed) for pattern, allowed in self.paths if _matches(pattern, path)]
        return max(matching)[1] if matching else True


_known: OrderedDict[str, tuple[float, Rules]] = OrderedDict()


async def require_allowed(url: str) -> None:
    """Raise FetchRefusedError if the site's robots.txt forbids a URL; what it says is kept for an hour."""
    parts = urlsplit(url)
    origin, path = f"{parts.scheme}://{parts.netloc}", f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    now = clock.monotonic()
    kept = _known.get(origin)
    if kept is None or kept[0] < now:
        kept = (now + KEPT_SECONDS, await _rules(origin))
        _known[origin] = kept
        if len(_known) > KEPT_SITES:
            _known.popitem(last=False)
    if not kept[1].allow(path):
        raise FetchRefusedError(f"{url} is not fetched: {origin}/robots.txt forbids it.")


def forget() -> None:
    """Forget every site's rules, for tests."""
    _known.clear()


async def _rules(origin: str) -> Rules:
    """Return a site's rules: all is allowed where there is no file, nothing where the server fails (RFC 9309)."""
    answer = await fetch(f"{origin}/robots.txt", limits=LIMITS)
    if answer.status >= 500:
        raise FetchError(f"{origin}/robots.txt cannot be read (HTTP {answer.status}), so nothing there is fetched now.")
    if answer.status >= 400:
        return Rules()
    return Rules.parse(answer.body.decode("utf-8", errors="replace").removeprefix("\ufeff"))


def _matches(pattern: str, path: str) -> bool:
    """Match `*` as any characters and a final `$` as the end; each part is searched once, so no pattern can blow up."""
    anchored = pattern.endswith("$")
    parts = pattern.removesuffix("$").split("*")
    if not path.startswith(parts[0]):
        return False
    place = len(parts[0])
    for part in parts[1:-1]:
        found = path.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    if len(parts) == 1:
        return not anchored or place == len(path)
    last = parts[-1]
    if anchored:
        return path.endswith(last) and len(path) - len(last) >= place
    return path.find(last, place) >= 0
