"""Signals that came before their run: stored beside the journal and joined when the run is taken in.

Two topics have no common order, so a signal or cancel for an unknown run is no error. One whose run does not come
within a day becomes a dead letter: whoever sent it has the answer that it was taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from schemas.errors import SchemaError
from schemas.parked_event import ParkedEvent
from streams import clock
from streams.engine.inbound import signal_message
from streams.engine.messages import CancelAsked, SignalArrived
from streams.errors import StreamsError
from streams.journal import store_keys
from streams.journal.dead_letters import dead_letter
from streams.journal.expiry_index import EARLY_FLAG
from streams.journal.parked_record import ParkedRecord, parked
from streams.journal.store_keys import LEDGER
from streams.runtime.commit_unit import CommitUnit

if TYPE_CHECKING:
    from streams.engine.messages import Message
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.batch import RecordBatch
    from streams.runtime.record import ConsumedRecord
    from streams.worker.runs.active_run import ActiveRun
    from streams.worker.runs.run_manager import RunManager

EARLY_HOURS: Final = 24
CONSUMER: Final = "signals"


class RunNeverCameError(StreamsError):
    """The error in the dead letter of a signal or cancel whose run was not submitted within a day."""


def prefix(run_id: str) -> bytes:
    """Return the key prefix of a run's early signals."""
    return store_keys.EARLY_SIGNAL + f"{run_id}/".encode()


def flag(run_id: str) -> bytes:
    """Return the key that says that a run has early signals."""
    return store_keys.EARLY_SIGNAL + run_id.encode()


def keep(batch: RecordBatch, run_id: str, message: Message, record: ConsumedRecord, writer: RecordWriter) -> bool:
    """Store a signal or cancel for a run that is not known yet, whole; return False for anything else."""
    if not isinstance(message, SignalArrived | CancelAsked):
        return False
    row = parked(record, CONSUMER, lane=run_id, event_id=message.id, first_ms=clock.now_ms())
    store = batch.assignment.stores[LEDGER]
    batch.put(store, prefix(run_id) + message.id.encode(), writer.codec.encode(row))
    batch.put(store, flag(run_id), EARLY_FLAG)
    return True


def joined(batch: RecordBatch, live: ActiveRun, manager: RunManager, writer: RecordWriter) -> None:
    """Deliver to a run that was just taken in what came for it before, in the order of the log, in the same unit."""
    store = batch.assignment.stores[LEDGER]
    if store.get(flag(live.run_id)) is None:  # nearly always: a look-up, not a scan
        return
    batch.put(store, flag(live.run_id), None)
    signals = [(writer.codec.decode(value, ParkedEvent), key) for key, value in store.scan(prefix(live.run_id))]
    for row, key in sorted(signals, key=lambda one: one[0].source_offset):
        record = ParkedRecord(row)
        try:
            manager.send_message(live, signal_message(writer.read(record).event), batch)
        except (StreamsError, SchemaError) as error:
            dead_letter(batch, writer, record, error, CONSUMER)
        batch.put(store, key, None)


def given_up(
    owned: PartitionAssignment, rows: Iterable[tuple[bytes, bytes]], writer: RecordWriter, now_ms: int
) -> Iterator[CommitUnit]:
    """Yield units that turn what waited for too long among committed `rows` into dead letters, one a run."""
    store = owned.stores[LEDGER]
    late: dict[str, list[tuple[bytes, ParkedEvent]]] = defaultdict(list)
    for key, value in rows:
        if value == EARLY_FLAG:
            continue
        row = writer.codec.decode(value, ParkedEvent)
        if now_ms - row.first_ms > EARLY_HOURS * 3600 * 1000:
            late[row.lane].append((key, row))
    for run_id, waited in late.items():
        if flag(run_id) not in store.dirty and not any(key in store.dirty for key, _ in waited):
            yield _letters(owned, run_id, waited, writer)  # else the run has come, or another signal comes


def _letters(
    owned: PartitionAssignment, run_id: str, waited: list[tuple[bytes, ParkedEvent]], writer: RecordWriter
) -> CommitUnit:
    store = owned.stores[LEDGER]
    unit = CommitUnit(owned)
    error = RunNeverCameError(f"no run with this id was submitted within {EARLY_HOURS} hours")
    for key, row in waited:
        dead_letter(unit, writer, ParkedRecord(row), error, CONSUMER)
        unit.put(store, key, None)
    if next(store.scan(prefix(run_id)), None) is None:
        unit.put(store, flag(run_id), None)
    return unit
