"""Signals for a run or a schedule that this worker's code does not have: stored beside the journal for who has it.

Workers with different code share a partition over time. A signal, a cancel or a child's ending for a run of an agent
that only the others know must not be lost, and cannot be handled: it is a row until an owner comes that has the agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.parked_event import ParkedEvent
from streams import clock
from streams.journal import store_keys
from streams.journal.parked_record import ParkedRecord, parked
from streams.journal.store_keys import LEDGER

if TYPE_CHECKING:
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.commit_unit import CommitUnit
    from streams.runtime.record import ConsumedRecord


def set_aside(unit: CommitUnit, record: ConsumedRecord, writer: RecordWriter) -> None:
    """Store a record whole, under its offset."""
    row = parked(record, "signals", first_ms=clock.now_ms())
    unit.put(unit.assignment.stores[LEDGER], _key(record.offset()), writer.codec.encode(row))


def taken_up(unit: CommitUnit, record: ConsumedRecord) -> None:
    """Delete a record's row."""
    unit.put(unit.assignment.stores[LEDGER], _key(record.offset()), None)


def set_aside_in(owned: PartitionAssignment, writer: RecordWriter) -> list[ParkedRecord]:
    """Return what an assignment has stored, in the order of the log."""
    rows = owned.stores[LEDGER].scan_committed(store_keys.UNSERVED_SIGNAL)
    return [ParkedRecord(writer.codec.decode(row, ParkedEvent)) for _, row in rows]


def _key(offset: int) -> bytes:
    return store_keys.UNSERVED_SIGNAL + f"{offset:020d}".encode()
