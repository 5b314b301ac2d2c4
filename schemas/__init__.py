"""What can be on the log: events, records and how they become bytes; users import ``Event`` from here."""

from schemas.event import Event, Record
from schemas.values import Json

__all__ = ["Event", "Json", "Record"]
