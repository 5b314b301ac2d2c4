"""The outputs of a reaction as records of the unit that its event belongs to; a replay makes the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.run import RunSubmitted
from streams import clock
from streams.engine.starts import outputs_of

if TYPE_CHECKING:
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.commit_unit import CommitUnit


def put(unit: CommitUnit, writer: RecordWriter, cause: str, name: str, made: list[Any]) -> list[RunSubmitted]:
    """Add what reaction `name` made of the event with id `cause`; return the runs that it starts.

    Raises what encoding and limits raise.
    """
    outputs = outputs_of(cause, name, made, clock.now_ms())
    for output in outputs:
        writer.send(unit, output)
    return [output.event for output in outputs if isinstance(output.event, RunSubmitted)]
