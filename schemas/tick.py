"""A schedule's slot has come."""

from schemas.event import Event
from schemas.values import Json


class Ticked(Event, type="schedule.ticked", key="schedule"):
    """One record for each slot of a schedule; ``slot_ms`` is the slot's time in milliseconds since the epoch."""

    schedule: str
    slot_ms: int
    data: Json = None
