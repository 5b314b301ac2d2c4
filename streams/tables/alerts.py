"""Which problems were reported and are not over, so that each is reported once, and its end, too."""

from __future__ import annotations

from pydantic import BaseModel

from schemas import Event
from schemas.alert import AlertRaised, AlertResolved
from streams import table


class Alert(BaseModel):
    """A problem: how often it has come, whether it lasts, and its last text."""

    open: bool = True
    times: int = 0
    severity: str = ""
    summary: str = ""


@table(of=[AlertRaised, AlertResolved], row=Alert)
def alerts(row: Alert | None, event: Event) -> Alert | None:
    """Open a problem, or close it."""
    before = row or Alert()
    if isinstance(event, AlertRaised):
        return Alert(open=True, times=before.times + 1, severity=event.severity, summary=event.summary)
    return before.model_copy(update={"open": False})
