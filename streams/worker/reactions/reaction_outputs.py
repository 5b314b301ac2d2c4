"""The outputs of a reaction as records of the unit that its event belongs to; a replay makes the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.run import RunSubmitted
from streams import clock
from streams.engine.starts import outputs_of

if TYPE_CHECKING:
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.commit_unit import CommitUnit
    from streams.worker.reactions.event_item import ReactionItem


def put(unit: CommitUnit, writer: RecordWriter, item: ReactionItem) -> list[RunSubmitted]:
    """Add what a reaction made of an event; return the runs that it starts.

    Raises what encoding and limits raise.
    """
    outputs = outputs_of(item.event_id, item.reaction.name, item.outputs or [], clock.now_ms())
    traceparent = item.trace.header
    for output in outputs:
        if isinstance(output.event, RunSubmitted):
            output.event = output.event.model_copy(update={"traceparent": traceparent})
        writer.send(unit, output, traceparent)
    return [output.event for output in outputs if isinstance(output.event, RunSubmitted)]
