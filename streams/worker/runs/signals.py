"""The topic `signals`: signals, cancels, resumes, forks and the endings of children, each one unit with its offset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from schemas.dead import RedriveRequested
from schemas.errors import SchemaError
from schemas.key import KeyGranted
from schemas.schedule import ScheduleCommanded, ScheduleRunEnded
from schemas.signal import CancelRequested, ChildEnded, ForkRequested, ResumeRequested, SignalSent
from streams.engine.inbound import signal_message
from streams.engine.messages import SignalArrived
from streams.errors import StreamsError
from streams.journal.dead_letters import dead_letter
from streams.runtime.commit_unit import MAX_RECORD_BYTES, CommitUnit
from streams.runtime.errors import DeadAssignmentError, OverlayConflictError, RecordTooLargeError, StoreError
from streams.user_code import called
from streams.worker.runs.early_signals import keep
from streams.worker.runs.unserved_signals import set_aside, set_aside_in, taken_up

if TYPE_CHECKING:
    from schemas.event import Event
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.batch import RecordBatch
    from streams.runtime.record import ConsumedRecord
    from streams.worker.runs.key_gate import KeyGate
    from streams.worker.runs.redrive import DeadLetterRedrive
    from streams.worker.runs.run_manager import RunManager
    from streams.worker.schedules.schedules import OwnedSchedules

_MOST_BYTES: Final = MAX_RECORD_BYTES - 10_000  # of a signal: its entry has more fields

Handler = Callable[["RecordBatch", Any], None]
"""Takes an event of its type in the unit of the batch."""


class SignalHandler:
    """Takes batches of the topic `signals`; all pools read it, each handles its own runs."""

    def __init__(
        self,
        manager: RunManager,
        writer: RecordWriter,
        redrive: DeadLetterRedrive,
        pool: str,
        *,
        key_gate: KeyGate,
        handlers: Mapping[type[Event], Handler],
        schedules: OwnedSchedules | None = None,
    ) -> None:
        """Handle the runs of `pool` and its schedules; `handlers` take the events that are for other parts, by type."""
        self._key_gate = key_gate
        self._handlers = handlers
        self._schedules = schedules
        self._manager = manager
        self._writer = writer
        self._redrive = redrive
        self._pool = pool.encode()

    def take(self, batch: RecordBatch) -> None:
        """Handle all records of a batch, without waiting for anything."""
        for record in batch.messages:
            try:
                event = called(self._read, record)
            except Exception as error:  # noqa: BLE001 - nothing of it is in the unit yet, so its neighbours pass at once
                dead_letter(batch, self._writer, record, error, "signals")
                continue
            try:
                if event is not None:
                    called(self._handle, batch, record, event)
            except (StoreError, DeadAssignmentError, OverlayConflictError):
                raise
            except (StreamsError, SchemaError) as error:
                dead_letter(batch, self._writer, record, error, "signals")

    def restored(self, owned: PartitionAssignment) -> None:
        """Handle what a former owner of an assignment could not, for want of the agent or the schedule."""
        for record in set_aside_in(owned, self._writer):
            unit = CommitUnit(owned)
            try:
                event = self._writer.read(record).event
                if self._unserved(owned, event):
                    continue
                called(
                    self._apply, cast("RecordBatch", unit), record, event
                )  # nothing there needs the records of a batch
            except (StoreError, DeadAssignmentError, OverlayConflictError):
                raise
            except (StreamsError, SchemaError) as error:
                dead_letter(unit, self._writer, record, error, "signals")
            taken_up(unit, record)
            self._manager.commit(unit)

    def _read(self, record: ConsumedRecord) -> Any:
        """Return the event of a record, None if it is another pool's."""
        pool = dict(record.headers() or ()).get("pool")
        if pool is not None and pool != self._pool:
            return None
        event = self._writer.read(record).event
        if event is None:
            raise SchemaError("no event of that type is said to a run: it cannot be handled")
        return event

    def _handle(self, batch: RecordBatch, record: ConsumedRecord, event: Any) -> None:
        if self._unserved(batch.assignment, event):
            set_aside(batch, record, self._writer)
        else:
            self._apply(batch, record, event)

    def _apply(self, batch: RecordBatch, record: ConsumedRecord, event: Any) -> None:
        if self._others(batch, event):
            return
        message = signal_message(event)
        if isinstance(message, SignalArrived) and (size := len(record.value() or b"")) > _MOST_BYTES:
            raise RecordTooLargeError(f"a signal of {size} bytes is over {_MOST_BYTES}: send a reference to it")
        run_id: str = event.run_id
        live = self._manager.find(batch.assignment, run_id)
        if live is not None:
            self._manager.send_message(live, message, batch)
            return
        if not isinstance(event, ChildEnded):  # a child may outlive its parent's history: nobody waits for it
            self._manager.require_history(batch.assignment, run_id)
        if "pool" in dict(record.headers() or ()) or self._pool == b"default":
            keep(batch, run_id, message, record, self._writer)

    def _unserved(self, owned: PartitionAssignment, event: Any) -> bool:
        """Return whether an event is for a run or a schedule of this pool that this worker's code does not have."""
        match event:
            case ScheduleCommanded() | ScheduleRunEnded():
                return self._schedules is not None and not self._schedules.has(event.schedule)
            case SignalSent() | CancelRequested() | ResumeRequested() | ForkRequested() | ChildEnded() | KeyGranted():
                return self._manager.unserved(owned, event.run_id)
            case RedriveRequested():
                return event.run_id is not None and self._manager.unserved(owned, event.run_id)
        return False

    def _others(self, batch: RecordBatch, event: Any) -> bool:
        """Hand an event that is not for a run to the part that it is for; return whether that is so."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(batch, event)
            return True
        match event:
            case RedriveRequested():
                self._redrive.take(batch, event)
            case ScheduleCommanded() | ScheduleRunEnded():
                if self._schedules is not None:
                    self._schedules.handle_message(batch, event)
            case KeyGranted():
                self._key_gate.granted(self._manager.find(batch.assignment, event.run_id), event, batch)
            case _:
                return False
        return True
