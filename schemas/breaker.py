"""Events for circuit breakers; on `signals`."""

from schemas.event import Event


class BreakerSwitched(Event, type="breaker.switched", key="tool"):
    """A person opens the breaker of a tool, until it is closed by hand, or closes it (``state``: open, closed)."""

    tool: str
    state: str
    request_id: str
