"""Calling APIs, alone and in batches."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from streams.tools._call import call_tool
from streams.tools.batches import batch_api_calls, batch_url_scraping
from streams.tools.errors import FetchBusyError, FetchRefusedError, InvalidArgumentsError
from streams.tools.external import call_external_api
from tests.unit.tools._site import html, network, site


async def echo(request: web.Request) -> web.Response:
    data = await request.json() if request.can_read_body else None
    return web.json_response({"method": request.method, "data": data, "headers": dict(request.headers)})


async def call(arguments: dict[str, Any], key: str | None = None) -> Any:
    async with site({"/api": echo, "/text": html("hello"), "/busy": busy}) as (origin, _):
        with network(origin.removeprefix("http://")):
            return await call_tool(
                call_external_api, {**arguments, "url": origin + arguments["url"]}, idempotency_key=key
            )


async def busy(_: web.Request) -> web.Response:
    return web.Response(status=429, headers={"Retry-After": "9"})


async def test_json_goes_out_and_comes_back() -> None:
    answer = await call({"url": "/api", "method": "POST", "data": {"a": 1}, "headers": {"X-Mine": "yes"}}, "key-1")
    assert answer["status"] == 200
    said = answer["data"]
    assert (said["method"], said["data"]) == ("POST", {"a": 1})
    assert said["headers"]["X-Mine"] == "yes"
    assert said["headers"]["Idempotency-Key"] == "key-1"


async def test_reading_needs_no_idempotency_key() -> None:
    assert "Idempotency-Key" not in (await call({"url": "/api"}, "key-1"))["data"]["headers"]


async def test_text_comes_as_text() -> None:
    assert (await call({"url": "/text"}))["data"] == "hello"


async def test_a_busy_api_is_called_again_later() -> None:
    with pytest.raises(FetchBusyError) as caught:
        await call({"url": "/busy"})
    assert caught.value.after == 9


@pytest.mark.parametrize("headers", [{"Host": "other"}, {"X": "a\r\nHost: other"}, {"Transfer-Encoding": "chunked"}])
async def test_headers_that_steer_the_connection_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(FetchRefusedError):
        await call({"url": "/api", "headers": headers})


async def test_unknown_methods_are_refused() -> None:
    with pytest.raises(InvalidArgumentsError, match="method"):
        await call({"url": "/api", "method": "CONNECT"})


async def test_a_batch_keeps_its_failures_beside_its_successes() -> None:
    async with site({"/a": html("<p>one</p>"), "/busy": busy, "/api": echo}) as (origin, _):
        with network(origin.removeprefix("http://")):
            inside = "http://169.254.169.254/"
            pages = await call_tool(batch_url_scraping, {"urls": [f"{origin}/a", inside, f"{origin}/busy"]})
            answers = await call_tool(batch_api_calls, {"urls": [f"{origin}/api", f"{origin}/nothing"]})
            with pytest.raises(InvalidArgumentsError, match="at most 50"):
                await call_tool(batch_url_scraping, {"urls": [f"{origin}/a"] * 51})
    assert (pages["total"], pages["successful"], pages["failed"]) == (3, 1, 2)
    assert [page and page["text"] for page in pages["pages"]] == ["one", None, None]
    assert "not public" in pages["errors"][inside]
    assert (answers["successful"], answers["failed"]) == (1, 1)
