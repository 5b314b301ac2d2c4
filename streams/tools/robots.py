"""Asks a site's robots.txt (RFC 9309) before a page is fetched, because crawlers that do not get everyone blocked."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import urlsplit

from streams import clock
from streams.tools._threads import in_thread
from streams.tools.errors import FetchError, FetchRefusedError
from streams.tools.exchange import AGENT, ExchangeLimits
from streams.tools.fetching import fetch

TOKEN = AGENT.partition("/")[0].lower()
LIMITS = ExchangeLimits(max_bytes=512_000, seconds=10.0)  # RFC 9309 asks to read at least 500 KiB
CACHE_SECONDS = 3600.0
CACHE_BYTES = 16_000_000  # of all sites' rules together: the ones asked least recently are forgotten
EACH_SITE, EACH_RULE = 500, 200  # bytes beside the patterns themselves
FEW = 1_000  # rules that are looked at in the loop: about a millisecond
LONGEST_PATTERN = 2_000  # characters: a URL of ours is no longer


@dataclass(frozen=True, slots=True)
class Rules:
    """The paths that one site allows and disallows to us, as (pattern, allowed)."""

    paths: tuple[tuple[str, bool], ...] = ()

    @classmethod
    def parse(cls, text: str, token: str = TOKEN) -> Rules:
        """Read a robots.txt: the groups that name `token`, or else those for all; unknown lines are skipped.

        One pass, in which only the rules of those groups are held: of a group that names a thousand others, none.
        """
        groups: dict[str, dict[tuple[str, bool], None]] = {}
        current: set[str] = set()
        naming = False
        for line in text.splitlines():
            field, _, value = (part.strip() for part in line.partition("#")[0].partition(":"))
            match field.lower():
                case "user-agent":
                    agent = value.lower()
                    current = (current if naming else set()) | ({agent} if _ours(agent, token) else set())
                    groups |= {name: {} for name in current if name not in groups}
                    naming = True
                case "allow" | "disallow" as word:
                    naming = False
                    if value:
                        for agent in current:
                            groups[agent][value[:LONGEST_PATTERN], word == "allow"] = None
        own = [agent for agent in groups if agent != "*"]
        return cls(tuple(groups[max(own, key=len)] if own else groups.get("*", {})))

    @property
    def weight(self) -> int:
        """About the bytes that these rules take in memory."""
        return EACH_SITE + sum(len(pattern) + EACH_RULE for pattern, _ in self.paths)

    def allow(self, path: str) -> bool:
        """Return whether a path with its query may be fetched: the longest match decides, allow wins a tie."""
        matching = [(len(pattern), allowed) for pattern, allowed in self.paths if _matches(pattern, path)]
        return max(matching)[1] if matching else True


def _ours(agent: str, token: str) -> bool:
    return agent == "*" or (agent != "" and token.startswith(agent))


class Sites:
    """The rules of the sites asked last, within so many bytes."""

    def __init__(self, most: int = CACHE_BYTES) -> None:
        self._most = most
        self._rules: OrderedDict[str, tuple[float, Rules]] = OrderedDict()
        self.weight = 0

    def find(self, origin: str, now: float) -> Rules | None:
        """Return a site's rules if they are known and no older than an hour."""
        cached = self._rules.get(origin)
        if cached is None or cached[0] < now:
            return None
        self._rules.move_to_end(origin)
        return cached[1]

    def keep(self, origin: str, rules: Rules, now: float) -> None:
        """Keep a site's rules for an hour, and forget others where they take too much."""
        self._drop(origin)
        self._rules[origin] = (now + CACHE_SECONDS, rules)
        self.weight += rules.weight
        while self.weight > self._most and len(self._rules) > 1:
            self._drop(next(iter(self._rules)))

    def forget(self) -> None:
        """Forget all."""
        self._rules.clear()
        self.weight = 0

    def _drop(self, origin: str) -> None:
        cached = self._rules.pop(origin, None)
        if cached is not None:
            self.weight -= cached[1].weight


_SITES = Sites()


async def require_allowed(url: str) -> None:
    """Raise FetchRefusedError if the site's robots.txt forbids a URL; its rules are cached for an hour."""
    parts = urlsplit(url)
    origin, path = f"{parts.scheme}://{parts.netloc}", f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    now = clock.monotonic()
    rules = _SITES.find(origin, now)
    if rules is None:
        rules = await _rules(origin)
        _SITES.keep(origin, rules, now)
    few = len(rules.paths) <= FEW
    if not (rules.allow(path) if few else await in_thread(rules.allow, path)):
        raise FetchRefusedError(f"{url} is not fetched: {origin}/robots.txt forbids it.")


def forget() -> None:
    """Forget every site's rules, for tests."""
    _SITES.forget()


async def _rules(origin: str) -> Rules:
    """Return a site's rules: all is allowed where there is no file, nothing where the server fails (RFC 9309)."""
    answer = await fetch(f"{origin}/robots.txt", limits=LIMITS)
    if answer.status >= 500:
        raise FetchError(f"{origin}/robots.txt cannot be read (HTTP {answer.status}), so nothing there is fetched now.")
    if answer.status >= 400:
        return Rules()
    text = answer.body.decode("utf-8", errors="replace").removeprefix("\ufeff")
    rules: Rules = await in_thread(Rules.parse, text)  # half a megabyte takes a tenth of a second
    return rules


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
