"""Reads a few pages in parallel, each failure reported and none of them fatal."""

from __future__ import annotations

from pydantic import BaseModel, Field, HttpUrl

from streams import Run, StepFailed, agent, minutes
from streams.tools.scrape import Page, scrape_url


class PagesWanted(BaseModel):
    """Which pages to read."""

    urls: list[HttpUrl] = Field(min_length=1, max_length=50)


class PagesRead(BaseModel):
    """The pages that could be read, in the order asked for, and why the others could not, by URL."""

    pages: list[Page]
    errors: dict[str, str]


@agent(concurrency=20, deadline=minutes(30), tools=[scrape_url])
async def scraper(wanted: PagesWanted, run: Run) -> PagesRead:
    """Read web pages and return title and main text of each."""
    urls = [str(url) for url in wanted.urls]
    found = await run.gather(*[run.tool(scrape_url, url=url) for url in urls], return_exceptions=True)
    read = [page for page in found if isinstance(page, Page)]
    errors = {url: str(page) for url, page in zip(urls, found, strict=True) if isinstance(page, StepFailed)}
    await run.progress(f"read {len(read)} of {len(urls)} pages", 90)
    return PagesRead(pages=read, errors=errors)
