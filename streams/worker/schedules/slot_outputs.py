"""A slot that has fired, as records of one unit: its tick, and what the schedule's function returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from schemas.attributes import Attributes
from schemas.dead import DeadLettered
from schemas.schedule import ScheduleRun
from schemas.tick import Ticked
from schemas.trace_context import derived
from streams import clock
from streams.define.starts import StartRun
from streams.engine.ids import started_id
from streams.engine.starts import submission
from streams.journal.dead_letters import failure
from streams.journal.record_writer import OWN_SOURCE

if TYPE_CHECKING:
    from streams.define.schedules import Schedule
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.commit_unit import CommitUnit
    from streams.worker.schedules.schedule_state import DueSlot

REDRIVE: Final = "redrive"


def write_tick(unit: CommitUnit, writer: RecordWriter, schedule: Schedule, entry: DueSlot, data: Any = None) -> None:
    """Add the slot's one record on `ticks`; a slot that is redriven has it already."""
    if entry.cause != REDRIVE:
        ticked = Ticked(schedule=schedule.name, slot_ms=entry.slot_ms, data=data)
        writer.write(unit, writer.names.ticks, ticked, id=entry.id, key=schedule.name)


def write_outputs(
    unit: CommitUnit, writer: RecordWriter, schedule: Schedule, entry: DueSlot, outputs: list[Any]
) -> list[ScheduleRun]:
    """Add what the function returned, ids made of the slot's; return the runs whose ending later slots look at.

    A run whose id is the function's own may be known already, so that its end would never be reported: later slots
    do not wait for it. Raises what checking, encoding and limits raise.
    """
    runs: list[ScheduleRun] = []
    started, trace = 0, derived(entry.id).header
    for index, output in enumerate(outputs):
        if not isinstance(output, StartRun):
            id = f"{entry.id}/{schedule.name}/{index}"
            key = output.key_text() or id
            writer.write(unit, writer.names.events, output, id=id, key=key, traceparent=trace)
            continue
        run_id = output.run_id or (entry.id if started == 0 else started_id(entry.id, schedule.name, index))
        started += 1
        reports_end = output.run_id is None and schedule.overlap != "allow"
        event = submission(output, run_id, clock.now_ms()).model_copy(update={"traceparent": trace})
        if reports_end:
            event = event.model_copy(update={"schedule": schedule.name})
            runs.append(ScheduleRun(run_id=run_id, agent=output.agent.name, pool=output.agent.pool))
        topic, id = writer.names.agents(output.agent.name), f"{run_id}/submitted/0"
        writer.write(unit, topic, event, id=id, key=run_id, traceparent=trace)
    return runs


def write_letter(unit: CommitUnit, writer: RecordWriter, schedule: Schedule, entry: DueSlot, error: Exception) -> None:
    """Add the dead letter of a slot whose function was given up."""
    attributes = Attributes(entry.id, Ticked.event_type, OWN_SOURCE + "default", clock.now_ms())
    letter = DeadLettered(
        dead_id=f"{entry.id}/failed/{entry.attempt}" + ("/again" if entry.cause == REDRIVE else ""),
        source_topic=writer.names.ticks,
        source_partition=unit.assignment.partition,
        source_offset=-1,
        key=schedule.name.encode(),
        value=writer.codec.encode(Ticked(schedule=schedule.name, slot_ms=entry.slot_ms)),
        headers=dict(attributes.to_headers()),
        attempts=entry.attempt,
        **failure(schedule.name, error),
    )
    writer.write(unit, writer.names.dead_letters, letter, id=letter.dead_id, key=letter.dead_id)
