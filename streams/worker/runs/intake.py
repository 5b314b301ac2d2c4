"""From an agent's queue into the journal: short and in order, so that a slow agent never holds a partition back.

The submission's entry and the offset behind it are one unit. A known run id moves only the offset; the same id with
another agent or input is a dead letter and never runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from schemas.errors import SchemaError
from schemas.run import RunHistoryGiven, RunSubmitted
from streams import clock
from streams.engine.decision import Decision
from streams.engine.jsonable import digest, from_json
from streams.engine.messages import Submit
from streams.errors import StreamsError
from streams.journal import fork_histories
from streams.journal.dead_letters import dead_letter
from streams.runtime.errors import DeadAssignmentError, OverlayConflictError, StoreError
from streams.user_code import called
from streams.worker.runs.active_run import UNLISTED
from streams.worker.runs.early_signals import joined

if TYPE_CHECKING:
    from streams.define.agents import Agent
    from streams.engine.entry import Entry
    from streams.journal.journal_store import JournalStore
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.batch import RecordBatch
    from streams.runtime.commit_unit import CommitUnit
    from streams.runtime.record import ConsumedRecord
    from streams.worker.runs.key_gate import KeyGate
    from streams.worker.runs.run_manager import RunManager


class RunConflictError(StreamsError):
    """Raised for a submission whose run id belongs to another agent or input; that run is not touched."""


class RunIntake:
    """Takes batches of one agent's queue."""

    def __init__(
        self,
        agent: Agent[Any, Any],
        manager: RunManager,
        key_gate: KeyGate,
        journal: JournalStore,
        writer: RecordWriter,
        probe: Callable[[str], None],
    ) -> None:
        """Take in for `agent`; `probe` is called before and after each batch."""
        self._agent = agent
        self._manager = manager
        self._key_gate = key_gate
        self._journal = journal
        self._writer = writer
        self._probe = probe

    def take(self, batch: RecordBatch) -> None:
        """Handle all records of a batch, without waiting for anything."""
        self._probe("before intake")
        for message in batch.messages:
            try:
                event = called(self._read, message)
            except Exception as error:  # noqa: BLE001 - nothing of it is in the unit yet, so its neighbours pass at once
                dead_letter(batch, self._writer, message, error, self._agent.name)
                continue
            try:
                called(self._submit, batch, event)
            except (StoreError, DeadAssignmentError, OverlayConflictError):
                raise
            except (StreamsError, SchemaError, ValidationError) as error:
                dead_letter(batch, self._writer, message, error, self._agent.name)
        self._probe("taken in")

    def take_in_locally(self, unit: CommitUnit, event: RunSubmitted) -> None:
        """Take a submission in that this worker has just made itself; raises what is wrong with it.

        Its record comes by the queue all the same and finds the run known.
        """
        self._submit(cast("RecordBatch", unit), event)  # nothing there needs the records of a batch

    def again(self, batch: RecordBatch, message: ConsumedRecord) -> None:
        """Take a redriven submission in; raises what is wrong with it."""
        self._submit(batch, self._read(message))

    def _read(self, message: ConsumedRecord) -> RunSubmitted | RunHistoryGiven:
        arrived = self._writer.read(message)
        event = arrived.event
        if isinstance(event, RunSubmitted) and event.traceparent is None and arrived.attributes.traceparent is not None:
            event = event.model_copy(update={"traceparent": arrived.attributes.traceparent})
        if not isinstance(event, RunSubmitted | RunHistoryGiven):
            raise SchemaError(f"the queue of {self._agent.name} takes run.submitted events only")
        if message.key() != event.run_id.encode():
            raise SchemaError("the key of a submission is its run id: another key may be another worker's")
        if not event.run_id or "/" in event.run_id:
            raise SchemaError(
                f"the run id {event.run_id!r} is empty or has a slash, which separates keys of the journal"
            )
        if isinstance(event, RunSubmitted) and event.agent != self._agent.name:
            raise SchemaError(f"a submission for agent {event.agent!r} was put on the queue of {self._agent.name}")
        return event

    def _submit(self, batch: RecordBatch, event: RunSubmitted | RunHistoryGiven) -> None:
        if isinstance(event, RunHistoryGiven):
            fork_histories.keep(batch, event)
            return
        known = self._journal.known(batch.assignment, event.run_id)
        if known is not None:
            self._compare(known, event)
            fork_histories.drop(batch, event)
            return
        event = fork_histories.whole(batch, event)
        if self._agent.takes_input and event.history is None and event.parent_path is None:
            from_json(event.input, self._agent.input_type)  # misfits are dead letters now, not failed runs
        live = self._manager.create(batch.assignment, event.run_id, self._agent)
        live.shown = UNLISTED
        decision: Decision = live.machine.handle(Submit(event), clock.now_ms())
        try:
            self._manager.carry(live, decision, batch)
        except (StreamsError, SchemaError):
            self._manager.discard(live)
            raise
        fork_histories.drop(batch, event)
        joined(batch, live, self._manager, self._writer)
        if event.not_before_ms is None or event.not_before_ms <= clock.now_ms():
            self._key_gate.enqueue(batch.assignment, live.machine.journal.view, batch)

    def _compare(self, known: Entry, event: RunSubmitted) -> None:
        if known.digest and known.digest != digest(event.agent, event.input):
            raise RunConflictError(
                f"run {event.run_id} exists with another agent or input; this submission did not run: choose another id"
            )
