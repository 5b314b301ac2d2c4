"""Looks at feeds and files every hour and reports those that have changed."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from pathlib import Path
from typing import Any

from schemas.bus import NewDataArrived
from streams import schedule, settings
from streams.tables.data_sources import Seen, data_sources
from streams.tools.errors import FetchError, FetchRefusedError
from streams.tools.fetching import fetch
from streams.tools.scrape import is_url

log = logging.getLogger(__name__)

UNCHANGED = 304


@schedule(cron="0 * * * *")
async def monitor_data_sources() -> list[NewDataArrived]:
    """Report each source in STREAMS_DATA_SOURCES whose content, or ETag, is not what it was."""
    from streams.query.latest import rows_of  # noqa: PLC0415 - commands import schedules and need no Kafka client

    here = settings.load()
    if not here.data_sources:
        return []
    seen: dict[str, Seen] = await asyncio.to_thread(rows_of, here, data_sources)
    found = await asyncio.gather(*(_look(source, seen.get(source)) for source in here.data_sources))
    return [event for event in found if event is not None]


async def _look(source: str, before: Seen | None) -> NewDataArrived | None:
    """Return the news of one source; one that cannot be read is looked at again in an hour."""
    try:
        return await (_page(source, before) if is_url(source) else _file(source, before))
    except (FetchError, FetchRefusedError, OSError) as error:
        log.warning("data source %s cannot be read: %s", source, error)
        return None


async def _page(url: str, before: Seen | None) -> NewDataArrived | None:
    known = {"if-none-match": before.etag} if before is not None and before.etag else {}
    answer = await fetch(url, headers=known)
    if answer.status == UNCHANGED:
        return None
    if answer.status >= 300:
        raise FetchError(f"{url} answered {answer.status}")
    return _news(url, url, answer.body, before, answer.headers.get("etag"))


async def _file(name: str, before: Seen | None) -> NewDataArrived | None:
    reference, content = await asyncio.to_thread(_read, Path(name))
    return _news(name, reference, content, before, None)


def _read(path: Path) -> tuple[str, bytes]:
    return path.absolute().as_uri(), path.read_bytes()


def _news(source: str, reference: str, content: bytes, before: Seen | None, etag: str | None) -> NewDataArrived | None:
    digest = hashlib.sha256(content).hexdigest()
    if before is not None and before.digest == digest:
        return None
    data: dict[str, Any] = {"digest": digest, "etag": etag, "bytes": len(content)}
    return NewDataArrived(source=source, reference=reference, data=data)
