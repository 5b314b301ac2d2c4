"""Tools that do many fetches as one call, each failure beside the successes.

Each fetch is a call of its own to the tool that does one: within its rate, its cache, its breaker and its record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import BaseModel, Field, HttpUrl

from streams import StreamsError, tool
from streams.tools._inner import inner
from streams.tools.external import ApiAnswer, call_external_api
from streams.tools.scrape import Page, scrape_url

AT_ONCE = 5
MAX_ITEMS = 50
MAX_BYTES = 600_000  # of all answers together: a call and its record are one message on the log
TIMEOUT = 900.0  # fifty pages at ten a minute take five minutes; the rest is for pages that are slow or tried again
BatchT = TypeVar("BatchT", bound="BatchOutcome")
Urls = Annotated[list[HttpUrl], Field(min_length=1, max_length=MAX_ITEMS)]


class BatchOutcome(BaseModel):
    """How many were asked for, how many came, and why the others did not, by URL."""

    total: int
    successful: int
    failed: int
    errors: dict[str, str]
    told: bool | None = Field(None, description="whether the callback took it; none was given: null")


class ScrapedBatch(BatchOutcome):
    """Pages in the order asked for, None where it failed."""

    pages: list[Page | None]


class ApiBatch(BatchOutcome):
    """Answers in the order asked for, None where it failed."""

    answers: list[ApiAnswer | None]


@tool(rate="10/60s", timeout=TIMEOUT)
async def batch_url_scraping(urls: Urls, callback: HttpUrl | None = None) -> ScrapedBatch:
    """Read up to 50 public web pages, five at a time, and return title and main text of each.

    `callback` is a URL that gets the outcome as a POST of JSON.
    """
    pages, errors = await _each(scrape_url, urls)
    return await report_to_callback(scraped(pages, errors), callback, _post)


@tool(rate="10/60s", timeout=TIMEOUT)
async def batch_api_calls(urls: Urls, callback: HttpUrl | None = None) -> ApiBatch:
    """Call up to 50 public HTTP APIs with GET, five at a time, and return what each answered.

    `callback` is a URL that gets the outcome as a POST of JSON.
    """
    answers, errors = await _each(call_external_api, urls)
    return await report_to_callback(answered(answers, errors, urls), callback, _post)


def scraped(pages: Sequence[Page | None], errors: dict[str, str]) -> ScrapedBatch:
    """Return pages and failures as one outcome."""
    return ScrapedBatch(**_counted(pages), errors=errors, pages=list(pages))


def answered(answers: Sequence[ApiAnswer | None], errors: dict[str, str], urls: Sequence[HttpUrl | str]) -> ApiBatch:
    """Return answers and failures as one outcome; an answer beyond its share of 600 kB counts as failed."""
    share = MAX_BYTES // max(1, len(answers))
    shown: list[ApiAnswer | None] = []
    failed = dict(errors)
    for url, answer in zip(urls, answers, strict=True):
        size = 0 if answer is None else len(orjson.dumps(answer.data))
        if size > share:
            failed[str(url)] = f"The answer has {size:,} bytes; in a batch of {len(answers)} each may have {share:,}."
        shown.append(answer if size <= share else None)
    return ApiBatch(**_counted(shown), errors=failed, answers=shown)


def _counted(found: Sequence[object]) -> dict[str, Any]:
    successful = sum(one is not None for one in found)
    return {"total": len(found), "successful": successful, "failed": len(found) - successful}


async def report_to_callback(
    batch: BatchT, callback: HttpUrl | None, post: Callable[[str, Any], Awaitable[Any]]
) -> BatchT:
    """Post the outcome to the callback, if there is one; that it failed is part of the outcome."""
    if callback is None:
        return batch
    try:
        await post(str(callback), batch.model_dump(mode="json", exclude={"told"}))
    except StreamsError as error:
        return batch.model_copy(update={"told": False, "errors": {**batch.errors, str(callback): str(error)}})
    return batch.model_copy(update={"told": True})


async def _post(url: str, data: Any) -> None:
    await inner(call_external_api, url=url, method="POST", data=data)


async def _each(one_of: Any, urls: Urls) -> tuple[list[Any], dict[str, str]]:
    """Call for each URL, a few at a time; errors with a reason are returned, bugs are not hidden."""
    results: list[Any] = [None] * len(urls)
    errors: dict[str, str] = {}
    room = asyncio.Semaphore(AT_ONCE)

    async def one(place: int, url: HttpUrl) -> None:
        async with room:
            try:
                results[place] = await inner(one_of, url=str(url))
            except StreamsError as error:
                errors[str(url)] = str(error)

    async with asyncio.TaskGroup() as group:
        for place, url in enumerate(urls):
            group.create_task(one(place, url))
    return results, errors
