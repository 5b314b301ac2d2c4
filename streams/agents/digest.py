"""Works through what a data source has new: reads it, sums it up and publishes the digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
from pydantic import BaseModel

from schemas.bus import DataProcessed
from streams import Reject, Run, agent, minutes, settings
from streams.agents.planner import Line
from streams.model.prompts import Prompt
from streams.tools.scrape import is_url, scrape_url

DIGEST = Prompt.beside(__file__, "digest")
SHOWN = 2_000  # characters that the model sees


class News(BaseModel):
    """What came: content itself, or where it is: a page, or a file that STREAMS_DATA_SOURCES names."""

    source: str
    reference: str | None = None
    data: Any = None


class Digest(BaseModel):
    """What the model makes of it."""

    summary: Line
    important: bool


@agent(concurrency=20, deadline=minutes(30), tools=[scrape_url])
async def digest(news: News, run: Run) -> Digest:
    """Read what is new, sum it up and publish `data_processed`."""
    text = await _text(news, run)
    await run.progress(f"read {len(text)} characters", 40)
    found = await run.llm(DIGEST, f"Source: {news.source}", text[:SHOWN], returns=Digest, temperature=0, max_tokens=200)
    await run.emit(DataProcessed(source=news.source, run_id=run.id, summary=found.summary, data=found.model_dump()))
    return found


async def _text(news: News, run: Run) -> str:
    if news.reference is not None and is_url(news.reference):
        page = await run.tool(scrape_url, url=news.reference)
        return f"{page.title}\n{page.text}"
    if news.reference is not None and news.reference.startswith("file:"):
        return str(await run.step(read_file, news.reference))
    return orjson.dumps(news.data).decode()


def read_file(reference: str) -> str:
    """Return the start of a watched file; Reject for any other: an event must not make us read what it likes."""
    path = Path(unquote(urlsplit(reference).path))
    watched = {Path(name).absolute() for name in settings.load().data_sources if not is_url(name)}
    if path not in watched:
        raise Reject(f"{path} is none of STREAMS_DATA_SOURCES")
    with path.open("rb") as file:
        return file.read(SHOWN * 4).decode("utf-8", "replace")
