"""Runs one named tool as a run of its own, so that tools can be called from outside, scheduled and chained."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from streams import Reject, Run, agent, minutes
from streams.tools.batches import batch_api_calls, batch_url_scraping
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


@agent(concurrency=50, deadline=minutes(30), tools=LISTED)
async def tool(call: NamedCall, run: Run) -> NamedResult:
    """Run one of the tools that ship; its limits, retries and record are the tool's own."""
    found = BY_NAME.get(call.name)
    if found is None:
        raise Reject(f"There is no tool {call.name!r} here; there are: {', '.join(sorted(BY_NAME))}.")
    return NamedResult(name=call.name, result=await run.tool(found, **call.arguments))
