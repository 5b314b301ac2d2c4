"""Reads what a source has new, the answer to `new_data_arrived` on the bus."""

from __future__ import annotations

from pydantic import HttpUrl

from schemas.bus import NewDataArrived
from streams import StartRun, on
from streams.agents.scraper import PagesWanted, scraper
from streams.tools.scrape import is_url


@on(NewDataArrived)
async def data_arrived(event: NewDataArrived) -> StartRun | None:
    """Read the page that a source refers to; data without a reference needs no reading."""
    if event.reference is None or not is_url(event.reference):
        return None
    return StartRun(scraper, PagesWanted(urls=[HttpUrl(event.reference)]))
