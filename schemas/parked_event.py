"""An event that a reaction has not finished with, kept beside the journal so that its offset can pass."""

from pydantic import Field

from schemas.event import Record


class ParkedEvent(Record):
    """The record as it came, and how far its reaction is: `attempt` is the next one, due at ``due_ms`` (epoch, ms).

    ``lane`` is what it is ordered by: the record's key, or the value of the field that a debounce goes by.
    """

    reaction: str
    lane: str
    event_id: str
    source_topic: str
    source_partition: int
    source_offset: int
    key: bytes | None = None
    value: bytes | None = None
    headers: dict[str, bytes] = Field(default_factory=dict)
    timestamp_ms: int = 0
    attempt: int = 1
    due_ms: int = 0
    first_ms: int = 0
