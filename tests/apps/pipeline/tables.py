"""What was counted, and what the reaction said of it: both must always agree."""

from __future__ import annotations

from pydantic import BaseModel

from streams import table
from tests.apps.pipeline.events import Counted, Echoed


class Count(BaseModel):
    """How many events there were and what they add up to."""

    events: int = 0
    total: int = 0


@table(of=[Counted], row=Count, lookups=["events"])
def counts(row: Count | None, event: Counted) -> Count:
    """Add an event up."""
    before = row or Count()
    return Count(events=before.events + 1, total=before.total + event.amount)


@table(of=[Echoed], row=Count)
def echoes(row: Count | None, event: Echoed) -> Count:
    """Add an echo up."""
    before = row or Count()
    return Count(events=before.events + 1, total=before.total + event.amount)
