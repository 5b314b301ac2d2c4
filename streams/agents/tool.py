"""Runs one named tool as a run of its own, so that tools can be called from outside, scheduled and chained.

The tools are those that ship and those of the packages in STREAMS_APPS.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, Field

from streams import Reject, Run, StepFailed, agent, minutes, settings
from streams.app import discover
from streams.define.tools import Tool
from streams.tools._call import arguments as validated
from streams.tools.batches import AT_ONCE, answered, batch_api_calls, batch_url_scraping, report_to_callback, scraped
from streams.tools.database import execute_database_query
from streams.tools.documents import search_documents
from streams.tools.external import call_external_api
from streams.tools.scrape import scrape_url

LISTED = [
    scrape_url,
    call_external_api,
    execute_database_query,
    search_documents,
    batch_url_scraping,
    batch_api_calls,
]
BY_NAME = {listed.name: listed for listed in LISTED}


class NamedCall(BaseModel):
    """A tool's name and its arguments."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class NamedResult(BaseModel):
    """What the tool returned, as JSON."""

    name: str
    result: Any


@cache
def tools_here() -> dict[str, Tool[Any]]:
    """Return the tools that ship and those of STREAMS_APPS, by name; each asks for its own approval."""
    return {**discover(settings.load().apps).tools, **BY_NAME}


@agent(concurrency=50, deadline=minutes(30), tools=LISTED)
async def tool(call: NamedCall, run: Run) -> NamedResult:
    """Run one of the tools that ship or are yours; its limits, retries and record are the tool's own."""
    known = tools_here()
    found = known.get(call.name)
    if found is None:
        raise Reject(f"There is no tool {call.name!r} here; there are: {', '.join(sorted(known))}.")
    validated(found, call.arguments)  # nothing but the tool's own arguments: an approval is not the caller's to give
    if found is batch_url_scraping or found is batch_api_calls:
        return NamedResult(name=call.name, result=await _batch(found, call.arguments, run))
    return NamedResult(name=call.name, result=await run.tool(found, call.arguments))


async def _batch(found: Tool[Any], arguments: dict[str, Any], run: Run) -> Any:
    """Make each call of a batch an entry of the run: none is made twice after a crash, and each moves the progress."""
    given = validated(found, arguments)
    one_of: Tool[Any] = scrape_url if found is batch_url_scraping else call_external_api
    urls = [str(url) for url in given["urls"]]
    results: list[Any] = []
    for start in range(0, len(urls), AT_ONCE):
        some = urls[start : start + AT_ONCE]
        results += await run.gather(*[run.tool(one_of, url=url) for url in some], return_exceptions=True)
        await run.progress(f"{len(results)} of {len(urls)}", 95 * len(results) / len(urls))
    errors = {url: str(one) for url, one in zip(urls, results, strict=True) if isinstance(one, StepFailed)}
    values = [None if isinstance(one, StepFailed) else one for one in results]
    batch = scraped(values, errors) if one_of is scrape_url else answered(values, errors, urls)

    async def post(url: str, data: Any) -> None:
        await run.tool(call_external_api, url=url, method="POST", data=data)

    return (await report_to_callback(batch, given["callback"], post)).model_dump(mode="json")
