"""Tools that do many fetches as one call, each failure kept beside the successes."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from pydantic import BaseModel, Field, HttpUrl

from streams import StreamsError, tool
from streams.tools.external import ApiAnswer, call_external_api
from streams.tools.scrape import Page, scrape_url

AT_ONCE = 5
MAX_ITEMS = 50
Urls = Annotated[list[HttpUrl], Field(max_length=MAX_ITEMS)]


class ScrapedBatch(BaseModel):
    """Pages in the order asked for, None where it failed, and the failures by URL."""

    total: int
    successful: int
    failed: int
    pages: list[Page | None]
    errors: dict[str, str]


class ApiBatch(BaseModel):
    """Answers in the order asked for, None where it failed, and the failures by URL."""

    total: int
    successful: int
    failed: int
    answers: list[ApiAnswer | None]
    errors: dict[str, str]


@tool(rate="10/60s", timeout=180)
async def batch_url_scraping(urls: Urls) -> ScrapedBatch:
    """Read up to 50 public web pages, five at a time, and return title and main text of each."""
    pages, errors = await _each(scrape_url.fn, urls)
    found = sum(page is not None for page in pages)
    return ScrapedBatch(total=len(pages), successful=found, failed=len(pages) - found, pages=pages, errors=errors)


@tool(rate="10/60s", timeout=180)
async def batch_api_calls(urls: Urls) -> ApiBatch:
    """Call up to 50 public HTTP APIs with GET, five at a time, and return what each said."""
    answers, errors = await _each(call_external_api.fn, urls)
    found = sum(answer is not None for answer in answers)
    return ApiBatch(total=len(answers), successful=found, failed=len(answers) - found, answers=answers, errors=errors)


async def _each(call: Any, urls: Urls) -> tuple[list[Any], dict[str, str]]:
    """Call for each URL, a few at a time; errors with a reason are kept, bugs are not hidden."""
    results: list[Any] = [None] * len(urls)
    errors: dict[str, str] = {}
    room = asyncio.Semaphore(AT_ONCE)

    async def one(place: int, url: HttpUrl) -> None:
        async with room:
            try:
                results[place] = await call(url)
            except StreamsError as error:
                errors[str(url)] = str(error)

    async with asyncio.TaskGroup() as group:
        for place, url in enumerate(urls):
            group.create_task(one(place, url))
    return results, errors
