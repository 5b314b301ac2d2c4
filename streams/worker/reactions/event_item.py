"""One event for one reaction: its record, its next attempt, and the row that stores it when it takes longer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from schemas.parked_event import ParkedEvent
from schemas.trace_context import TraceContext, derived, parsed
from streams.journal import store_keys
from streams.journal.parked_record import parked
from streams.runtime.record import header_bytes

if TYPE_CHECKING:
    from schemas import Event
    from streams.define.reactions import Reaction
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.record import ConsumedRecord


@dataclass(slots=True)
class ReactionItem:
    """An event in a lane. `stored` means: its row is on the log, so its outcome is a unit of its own."""

    reaction: Reaction
    owned: PartitionAssignment
    lane: str
    event_id: str
    event: Event
    record: ConsumedRecord
    attempt: int = 1
    due_ms: int = 0
    first_ms: int = 0
    stored: bool = False
    began_ms: int = 0  # when its last attempt began
    outputs: list[Any] | None = None  # what the reaction returned
    error: Exception | None = None  # why it was given up
    retrying: bool = False
    replaced: bool = False
    headers: dict[str, bytes] = field(default_factory=dict)
    others: list[ReactionItem] = field(default_factory=list)  # handed over with it; its outcome is theirs

    @property
    def trace(self) -> TraceContext:
        """Return the span of the reaction to this event: in the event's trace, or in one that begins with the event."""
        return (self.cause or derived(self.event_id)).within(self.event_id, self.reaction.name)

    @property
    def cause(self) -> TraceContext | None:
        """Return the span that the event comes from, if its record says so."""
        return parsed(header_bytes(self.record).get("traceparent", b"").decode("ascii", "replace"))

    @property
    def given(self) -> Any:
        """Return what the reaction takes: the event, or the list of all if it collects them."""
        return self.event if self.reaction.batch is None else [self.event, *(one.event for one in self.others)]

    @property
    def settled(self) -> bool:
        """Return whether the outcome is known."""
        return self.outputs is not None or self.error is not None

    def key(self) -> bytes:
        """Return the key of the item's row; offsets are padded, so that rows scan in log order."""
        offset = f"{self.record.offset():020d}"
        return store_keys.PARKED_EVENT + f"{self.reaction.name}/{self.lane}/{self.record.topic()}/{offset}".encode()

    def row(self) -> ParkedEvent:
        """Return the item's row."""
        return parked(
            self.record,
            self.reaction.name,
            lane=self.lane,
            event_id=self.event_id,
            attempt=self.attempt,
            due_ms=self.due_ms,
            first_ms=self.first_ms,
        )
