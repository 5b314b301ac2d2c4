"""What an agent gets of a page."""

from __future__ import annotations

import pytest
from aiohttp import web

from streams.tools._call import call_tool
from streams.tools.errors import FetchBusyError, FetchError, FetchRefusedError, InvalidArgumentsError
from streams.tools.exchange import Fetched
from streams.tools.outcome import require_success
from streams.tools.scrape import scrape_url
from tests.unit.tools._site import Handler, html, network, site

SENTENCE = "The parser drops the last row of a file that has no newline at its end. "
PAGE = f"""<!doctype html><html><head><title> Rows &amp; columns </title><style>p {{ color: red }}</style>
<script>var secret = "tracker";</script></head><body><nav><a href="/">Home</a> <a href="/x">Menu entry</a></nav>
<article><h1>Lost rows</h1><p>{SENTENCE * 5}</p><p>{SENTENCE * 5}</p></article>
<script>document.write("more")</script><footer>Cookie settings</footer></body></html>"""


async def scraped(handler: Handler, **more: Handler) -> dict[str, object]:
    routes = {"/page": handler, **{f"/{name}": route for name, route in more.items()}}
    async with site(routes) as (origin, _):
        with network(origin.removeprefix("http://")):
            page: dict[str, object] = await call_tool(scrape_url, {"url": f"{origin}/page"})
            return page


async def test_title_and_main_text_without_scripts_styles_and_menus() -> None:
    page = await scraped(html(PAGE))
    assert page["title"] == "Rows & columns"
    text = str(page["text"])
    assert SENTENCE.strip() in text
    for unseen in ("tracker", "document.write", "color: red", "Menu entry"):
        assert unseen not in text
    assert page["length"] == len(text)


async def test_long_texts_are_cut_and_their_length_told() -> None:
    page = await scraped(
        html(f"<html><body><article>{'<p>' + SENTENCE * 5 + '</p>'}{'<p>' + SENTENCE * 300 + '</p>'}</article>")
    )
    assert len(str(page["text"])) == 5_000
    assert int(str(page["length"])) > 20_000


async def test_a_tiny_page_is_read_whole() -> None:
    page = await scraped(html("<html><body><h1>Down</h1><p>Back at noon.</p><script>x()</script></body></html>"))
    assert "Back at noon." in str(page["text"])
    assert "x()" not in str(page["text"])
    assert page["title"] == "Down"


@pytest.mark.parametrize(
    "body", ["", "   ", "<", "<html></html>", "<!-- -->", "<html><head><title>t</title></head></html>"]
)
async def test_pages_with_nothing_in_them(body: str) -> None:
    assert (await scraped(html(body)))["text"] in {"", "<", "t"}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<p>Grüße aus Köln</p>".encode("latin-1"), "text/html; charset=iso-8859-1"),
        ("<p>Grüße aus Köln</p>".encode(), "text/html"),
        ("<meta charset='windows-1252'><p>Grüße aus Köln</p>".encode("cp1252"), "text/html"),
        ("<p>Grüße aus Köln</p>".encode("utf-16"), "text/html"),
        ("Grüße aus Köln".encode(), 'text/plain; charset="utf-8"'),
        ("<p>Grüße aus Köln</p>".encode(), "text/html; charset=nonsense"),
        ('<?xml version="1.0" encoding="utf-8"?><html><p>Grüße aus Köln</p></html>'.encode(), "application/xhtml+xml"),
    ],
)
async def test_the_charset_is_right(body: bytes, content_type: str) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Type": content_type})

    assert "Grüße aus Köln" in str((await scraped(handle))["text"])


async def test_robots_txt_is_respected() -> None:
    async with site({"/page": html(PAGE), "/robots.txt": html("User-agent: *\nDisallow: /page")}) as (origin, asked):
        with network(origin.removeprefix("http://")), pytest.raises(FetchRefusedError, match=r"robots\.txt"):
            await call_tool(scrape_url, {"url": f"{origin}/page"})
    assert asked == ["/robots.txt"]


@pytest.mark.parametrize(
    ("status", "kind"), [(404, FetchRefusedError), (403, FetchRefusedError), (429, FetchBusyError), (500, FetchError)]
)
async def test_a_status_says_whether_another_attempt_helps(status: int, kind: type[Exception]) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "3"})

    with pytest.raises(kind) as caught:
        await scraped(handle)
    assert getattr(caught.value, "after", 3.0) == 3.0


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("9" * 400, None),
        ("31536000", 3600.0),
        ("\u00b2", None),
        ("inf", None),
        ("1e300", None),
        ("-1", None),
        ("7", 7.0),
    ],
)
def test_a_pause_that_a_server_asks_for_has_a_bound(text: str, after: float | None) -> None:
    """A year of pause, a number beyond all numbers, a superscript: a server does not stop us for good, nor raise."""
    with pytest.raises(FetchBusyError) as caught:
        require_success(Fetched("https://shop.example/", 429, {"retry-after": text}, b""))
    assert caught.value.after == after


async def test_what_is_no_text_is_refused() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=b"\x89PNG", content_type="image/png")

    with pytest.raises(FetchRefusedError, match="image/png"):
        await scraped(handle)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "no url", 7, None])
async def test_arguments_are_validated(url: object) -> None:
    with pytest.raises(InvalidArgumentsError, match="url"):
        await call_tool(scrape_url, {"url": url})
