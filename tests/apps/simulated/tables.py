"""What was noted and what was answered: both must always agree with the log."""

from __future__ import annotations

from pydantic import BaseModel

from streams import table
from tests.apps.simulated.events import Answered, Noted


class Count(BaseModel):
    """How many events there were and what they add up to."""

    events: int = 0
    total: int = 0


@table(of=[Noted], row=Count)
def noted(row: Count | None, event: Noted) -> Count:
    """Add an event up."""
    before = row or Count()
    return Count(events=before.events + 1, total=before.total + event.amount)


@table(of=[Answered], row=Count)
def answered(row: Count | None, event: Answered) -> Count:
    """Add an answer up."""
    before = row or Count()
    return Count(events=before.events + 1, total=before.total + event.amount)
