"""A batch as a run: every call an entry, the progress with each few, and the outcome posted to who wants it."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from streams.agents.tool import NamedCall, tool
from streams.model.scripted_model import ScriptedModel
from tests.flow.agents._drive import Ended, drive
from tests.unit.tools._site import html, network, site

POSTED: list[tuple[str | None, Any]] = []


async def take(request: web.Request) -> web.Response:
    POSTED.append((request.headers.get("Idempotency-Key"), await request.json()))
    return web.json_response({"taken": True})


async def big(_: web.Request) -> web.Response:
    return web.json_response("x" * 400_000)


async def small(_: web.Request) -> web.Response:
    return web.json_response({"n": 1})


ROUTES = {"/a": html("<p>one</p>"), "/b": html("<p>two</p>"), "/small": small, "/big": big, "/take": take}


async def run(name: str, paths: list[str], callback: str | None = None) -> Ended:
    POSTED.clear()
    async with site(ROUTES) as (origin, _):
        with network(origin.removeprefix("http://")):
            arguments: dict[str, Any] = {"urls": [f"{origin}{path}" for path in paths]}
            if callback:
                arguments["callback"] = f"{origin}{callback}"
            return await drive(tool, NamedCall(name=name, arguments=arguments), ScriptedModel())


async def test_pages_are_entries_of_the_run_and_the_outcome_is_posted_once() -> None:
    ended = await run("batch_url_scraping", ["/a", "/gone", "/b", "/a", "/b", "/a", "/b"], "/take")
    outcome = ended.result["result"]
    assert (outcome["total"], outcome["successful"], outcome["failed"], outcome["told"]) == (7, 6, 1, True)
    assert [page and page["text"] for page in outcome["pages"]] == ["one", None, "two", "one", "two", "one", "two"]
    assert ended.performed.count("tool scrape_url") == 7
    assert ended.progress == [68, 95]
    ((key, posted),) = POSTED
    assert key
    assert posted == {name: value for name, value in outcome.items() if name != "told"}


async def test_a_callback_that_does_not_take_it_is_part_of_the_outcome() -> None:
    ended = await run("batch_url_scraping", ["/a"], "/nobody")
    assert ended.result["result"]["told"] is False
    assert "HTTP 404" in str(ended.result["result"]["errors"])


async def test_an_answer_beyond_its_share_counts_as_failed() -> None:
    ended = await run("batch_api_calls", ["/small", "/big"])
    outcome = ended.result["result"]
    assert (outcome["successful"], outcome["failed"]) == (1, 1)
    assert [answer and answer["data"] for answer in outcome["answers"]] == [{"n": 1}, None]
    assert "each may have 300,000" in str(outcome["errors"])


async def test_only_the_tools_own_arguments_are_taken() -> None:
    """What `run.tool` takes besides, such as leave to go without an approval, is not the caller's to give."""
    call = NamedCall(name="search_documents", arguments={"query": "x", "approve": False})
    ended = await drive(tool, call, ScriptedModel())
    assert (ended.status, ended.performed) == ("failed", [])
    assert "approve" in str(ended.error)
