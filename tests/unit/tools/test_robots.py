"""What a robots.txt means (the cases of RFC 9309 and of the web as it is)."""

from __future__ import annotations

import pytest
from aiohttp import web

from streams.tools.errors import FetchError, FetchRefusedError
from streams.tools.robots import Rules, require_allowed
from tests.unit.tools._site import network, site

TEXT = """\ufeff# everyone
User-agent: *
Disallow: /private   # inside
Allow: /private/open
Disallow: /*.pdf$
Disallow: /a*z*9
Sitemap: /map

user-agent: OtherBot
USER-AGENT: streamsbot
Disallow:
Disallow: /only-us
"""


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", True),
        ("/private", False),
        ("/private/x", False),
        ("/private/open/x", True),
        ("/x.pdf", False),
        ("/x.pdf?page=2", True),
        ("/abz19", False),
        ("/ab9z", True),
        ("/only-us", True),
    ],
)
def test_the_longest_match_decides(path: str, allowed: bool) -> None:
    assert Rules.parse(TEXT.removeprefix("\ufeff"), "somebot").allow(path) is allowed


def test_a_group_of_our_own_replaces_that_of_everyone() -> None:
    rules = Rules.parse(TEXT.removeprefix("\ufeff"))
    assert rules.allow("/private")
    assert not rules.allow("/only-us")


@pytest.mark.parametrize("text", ["", "nonsense", "Disallow: /", "User-agent: *\nDisallow:", "<html>\x00</html>"])
def test_what_names_nobody_forbids_nothing(text: str) -> None:
    assert Rules.parse(text).allow("/x")


def test_many_stars_cost_little() -> None:
    assert Rules((("/" + "*a" * 2000 + "$", False),)).allow("/" + "a" * 1999 + "b")


async def test_rules_are_asked_for_once_and_a_failing_server_forbids_everything() -> None:
    async def rules(_: web.Request) -> web.Response:
        return web.Response(text="User-agent: *\nDisallow: /no")

    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=500)

    async with site({"/robots.txt": rules}) as (origin, asked), site({"/robots.txt": broken}) as (other, _):
        with network(origin.removeprefix("http://"), other.removeprefix("http://")):
            await require_allowed(f"{origin}/yes")
            with pytest.raises(FetchRefusedError):
                await require_allowed(f"{origin}/no?x=1")
            with pytest.raises(FetchError):
                await require_allowed(f"{other}/")
    assert asked == ["/robots.txt"]
