"""Redrive: a dead letter is handled again by the consumer that gave it up, and by nobody else.

It comes as a command on `signals`, because on its source topic it would be dropped as known or reach all consumers. Its
outputs have the ids that the first attempt would have given them: none of those was committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from schemas.dead import RedriveRequested
from schemas.errors import SchemaError
from schemas.parked_event import ParkedEvent
from streams import clock
from streams.engine.messages import ResumeAsked
from streams.errors import StreamsError
from streams.journal import store_keys
from streams.journal.dead_letters import dead_letter
from streams.journal.errors import UnknownConsumerError
from streams.journal.parked_record import ParkedRecord
from streams.journal.store_keys import LEDGER

if TYPE_CHECKING:
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.batch import RecordBatch
    from streams.worker.events.event_bus import EventBus
    from streams.worker.runs.intake import RunIntake
    from streams.worker.runs.run_manager import RunManager
    from streams.worker.schedules.schedules import OwnedSchedules


class DeadLetterRedrive:
    """Routes a redrive to intake, reaction or run."""

    def __init__(
        self,
        intakes: Mapping[str, RunIntake],
        bus: EventBus | None,
        manager: RunManager,
        writer: RecordWriter,
        schedules: OwnedSchedules | None = None,
    ) -> None:
        """Serve the consumers of this pool."""
        self._schedules = schedules
        self._intakes = intakes
        self._bus = bus
        self._manager = manager
        self._writer = writer

    def take(self, batch: RecordBatch, asked: RedriveRequested) -> None:
        """Handle the record again; what fails again is the same dead letter again, with more attempts."""
        store = batch.assignment.stores[LEDGER]
        done = store_keys.REDRIVEN + f"{asked.dead_id}/{asked.attempt}".encode()
        if store.get(done) is not None:
            return
        batch.put(store, done, b"%d" % clock.now_ms())
        record = ParkedRecord(_row(asked))
        try:
            self._route(batch, asked, record)
        except (StreamsError, SchemaError, ValueError) as error:
            dead_letter(batch, self._writer, record, error, asked.consumer, attempts=asked.attempt + 1)

    def _route(self, batch: RecordBatch, asked: RedriveRequested, record: ParkedRecord) -> None:
        if asked.run_id is not None:
            live = self._manager.find(batch.assignment, asked.run_id)
            if live is None:
                self._manager.require_history(batch.assignment, asked.run_id)
            else:
                self._manager.send_message(live, ResumeAsked(f"redrive/{asked.dead_id}/{asked.attempt}"), batch)
        elif asked.source_topic == self._writer.names.ticks:
            if self._schedules is not None:
                self._schedules.again(batch, asked)
        elif asked.consumer in self._intakes:
            self._intakes[asked.consumer].again(batch, record)
        elif self._bus is not None:
            self._bus.again(batch, record, asked.consumer)
        else:
            raise UnknownConsumerError(f"this pool has no {asked.consumer!r}: bring it back, or discard the letter")


def _row(asked: RedriveRequested) -> ParkedEvent:
    return ParkedEvent(
        reaction=asked.consumer,
        lane="",
        event_id=asked.dead_id,
        source_topic=asked.source_topic,
        source_partition=asked.source_partition,
        source_offset=asked.source_offset,
        key=asked.key,
        value=asked.value,
        headers=asked.headers,
        attempt=asked.attempt,
    )
