"""The base of everything on the log: an immutable record, and an event, which also has a type and a key."""

import re
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from schemas.errors import SchemaError

_TYPE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+(-[a-z0-9_]+)*)*")  # senders' own words may have hyphens


class Record(BaseModel):
    """An immutable value with an Avro schema derived from its fields; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Event(Record):
    """A fact of a named type about the entity that its key field names.

    A concrete event is declared with its type: ``class TicketOpened(Event, type="ticket.opened", key="ticket_id")``.
    A subclass without ``type=`` is abstract: a base for others that is never written itself.
    """

    event_type: ClassVar[str] = ""
    event_key: ClassVar[str | None] = None

    def __init_subclass__(cls, *, type: str = "", key: str | None = None, **kwargs: Any) -> None:
        """Take the event's type and the name of its key field.

        Raises SchemaError for an ill-formed type.
        """
        super().__init_subclass__(**kwargs)
        if type and not _TYPE.fullmatch(type):
            message = f"{cls.__name__}: event type {type!r} must be dotted lower case words, such as 'ticket.opened'"
            raise SchemaError(message)
        cls.event_type = type
        if key is not None:
            cls.event_key = key

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Check that the key is a field, once the fields are known; raises SchemaError."""
        if cls.event_type and cls.event_key is not None and cls.event_key not in cls.model_fields:
            message = f"{cls.__name__}: key={cls.event_key!r} is not one of its fields {sorted(cls.model_fields)}"
            raise SchemaError(message)

    def key_text(self) -> str | None:
        """Return the key field as the text that becomes the record key (UTF-8), or None for an event without key."""
        if self.event_key is None:
            return None
        value = getattr(self, self.event_key)
        if value is None or type(value) is str:
            return value
        return str(getattr(value, "value", value))
