"""Works through what a source has new, the answer to `new_data_arrived` on the bus."""

from __future__ import annotations

from schemas.bus import NewDataArrived
from streams import StartRun, on
from streams.agents.digest import News, digest
from streams.tools.scrape import is_url


@on(NewDataArrived)
async def data_arrived(event: NewDataArrived) -> StartRun | None:
    """Start a digest of what can be read: the data itself, a page, or a watched file; other places are others' work."""
    known = event.reference is None or is_url(event.reference) or event.reference.startswith("file:")
    if not known or (event.reference is None and event.data is None):
        return None
    return StartRun(digest, News(source=event.source, reference=event.reference, data=event.data))
