"""What a robots.txt means (the cases of RFC 9309 and of the web as it is)."""

from __future__ import annotations

import pytest
from aiohttp import web

from streams.tools.errors import FetchError, FetchRefusedError
from streams.tools.robots import Rules, Sites, require_allowed
from tests.unit.cpu import cpu_seconds
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


def test_a_group_that_names_many_others_costs_no_more_than_its_length() -> None:
    """Half a megabyte: 16,000 crawlers in one group, then 16,000 rules for each of them."""
    text = "".join(f"user-agent:{n}\n" for n in range(16_000)) + "allow:/a\ndisallow:/b\n" * 8_000
    with cpu_seconds(5):
        assert Rules.parse(text) == Rules()
        assert Rules.parse(f"user-agent:*\n{text}").weight < 10_000


def test_a_rule_with_many_patterns_is_looked_at_once() -> None:
    text = "user-agent:*\n" + "".join(f"allow:/{n}*\n" for n in range(40_000))
    with cpu_seconds(5):
        assert len(Rules.parse(text).paths) == 40_000
        assert Rules.parse(text).allow("/" + "x" * 2_000)


def test_what_is_kept_of_all_sites_has_a_bound() -> None:
    """A thousand sites whose rules take megabytes each do not add up; the one asked last is known."""
    sites = Sites(most=1_000_000)
    rules = Rules(tuple((f"/{n:030}", False) for n in range(1_000)))
    for number in range(100):
        sites.keep(f"https://{number}.example", rules, now=0.0)
        assert sites.weight <= 1_000_000
    assert sites.find("https://99.example", now=1.0) == rules
    assert sites.find("https://0.example", now=1.0) is None
    assert sites.find("https://99.example", now=4_000.0) is None
    sites.keep("https://99.example", Rules(), now=5_000.0)
    assert sites.find("https://99.example", now=5_001.0) == Rules()
    sites.forget()
    assert sites.weight == 0
