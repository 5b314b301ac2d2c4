"""Something needs a person, or no longer does."""

from schemas.event import Event


class AlertRaised(Event, type="alert.raised", key="alert"):
    """A problem that was not there before.

    ``alert`` names it, the same as long as it lasts; ``detail`` says more; ``at_ms`` is when it was seen (epoch, ms).
    """

    alert: str
    severity: str = "warning"
    summary: str
    detail: str = ""
    at_ms: int = 0


class AlertResolved(Event, type="alert.resolved", key="alert"):
    """The problem of an alert is gone; ``at_ms`` is when that was noticed, in milliseconds since the epoch."""

    alert: str
    summary: str = ""
    at_ms: int = 0
