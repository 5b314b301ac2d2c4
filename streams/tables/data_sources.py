"""What each watched source looked like when it was last different: so that only changes are reported."""

from __future__ import annotations

from pydantic import BaseModel

from schemas import Event
from schemas.bus import NewDataArrived
from streams import table


class Seen(BaseModel):
    """The content's SHA-256 and, where the server gives one, its ETag."""

    digest: str
    etag: str | None = None
    times: int = 1


@table(of=[NewDataArrived], row=Seen)
def data_sources(row: Seen | None, event: Event) -> Seen | None:
    """Remember what `monitor_data_sources` saw; data of others has no digest."""
    data = event.data if isinstance(event, NewDataArrived) else None
    if not isinstance(data, dict) or not isinstance(data.get("digest"), str):
        return row
    return Seen(digest=data["digest"], etag=data.get("etag"), times=1 + (row.times if row else 0))
