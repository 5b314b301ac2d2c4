"""The bus on this worker: each event once into the tables that fold it and the reactions that want it.

What came of a record (rows, events, submissions, the memory of its id) and its offset are one unit. Records from
outside are recognised by source and id for a day; records that workers wrote are committed once and need no memory.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from schemas import Event
from schemas.parked_event import ParkedEvent
from streams import clock
from streams.error_text import error_message
from streams.journal import store_keys
from streams.journal.dead_letters import dead_letter
from streams.journal.deduplication import cause_of, identity, remember, remembered_at, seen_key
from streams.journal.errors import UnknownConsumerError
from streams.journal.parked_record import ParkedRecord
from streams.journal.store_keys import LEDGER
from streams.user_code import called
from streams.worker.events.consumer_positions import ConsumerPositions, of_reaction, of_table
from streams.worker.reactions.event_item import ReactionItem

__all__ = ["ALL", "TABLE", "EventBus", "seen_key"]

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from streams.app import Catalog
    from streams.define.reactions import Reaction
    from streams.journal.record_writer import DecodedRecord, RecordWriter
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.batch import RecordBatch
    from streams.runtime.commit_unit import CommitUnit
    from streams.runtime.record import ConsumedRecord
    from streams.worker.events.table_folds import TableFolds
    from streams.worker.reactions.lanes import ReactionLanes

log = logging.getLogger(__name__)


TABLE = "table:"
"""How the consumer of an event that a table failed at begins."""

ALL = "events"
"""The consumer of an event that nobody could handle, since it could not be read or its outcome be written."""

_NONE: Final[frozenset[str]] = frozenset()


class EventBus:
    """Takes batches of the topic `events`."""

    def __init__(
        self,
        catalog: Catalog,
        folds: TableFolds,
        lanes: ReactionLanes,
        writer: RecordWriter,
    ) -> None:
        """Serve the catalogue's reactions, and `folds`."""
        self._folds = folds
        self._lanes = lanes
        self._writer = writer
        self._by_name = dict(catalog.reactions)
        self._reactions: dict[str, list[Reaction]] = defaultdict(list)
        for reaction in catalog.reactions.values():
            for kind in reaction.event_types:
                self._reactions[kind.event_type].append(reaction)
        self._tables = {of_table(name): table for name, table in folds.consumers.items()}
        consumers = [*self._tables, *map(of_reaction, self._by_name)]
        self.positions = ConsumerPositions(consumers, writer.names.events)
        self.unknown: dict[str, int] = {}
        self._read_ms: dict[PartitionAssignment, int] = {}

    def read_ms(self, owned: PartitionAssignment) -> int:
        """Return the time of the newest record that all consumers of an assignment have read; 0 if it is unknown."""
        return 0 if self.positions.late(owned)[0] else self._read_ms.get(owned, 0)

    async def take(self, batch: RecordBatch) -> None:
        """Fold the batch's records in order, then run their reactions."""
        await self._lanes.room(batch.assignment)
        if batch.assignment.live:
            self._read_ms[batch.assignment] = batch.messages[-1].timestamp()[1]
        items: list[ReactionItem] = []
        first = self.positions.begin(batch)
        for message in batch.messages:
            passed = {name for name, offset in first.items() if message.offset() < offset} if first else _NONE
            try:
                arrived = called(self._writer.read, message)
            except Exception as error:  # noqa: BLE001 - nothing of it is in the unit yet, so its neighbours pass at once
                dead_letter(batch, self._writer, message, error, ALL)
                continue
            if arrived.event is None:
                self._count_unknown(arrived.attributes.type)
            elif not self._seen(batch, message, arrived, message.timestamp()[1]):
                items += self._handle(batch, message, _cause(batch, message, arrived), arrived.event, passed)
        if items:
            await self._lanes.handle(batch, items)

    def again(self, batch: RecordBatch, message: ConsumedRecord, consumer: str) -> None:
        """Handle a redriven event: by one reaction, by one table, or (nobody has handled it at all) by all.

        That its id is known stops neither of the first two: it was handled then, but for them. What goes to all is
        remembered now, so that its sender may repeat it, and is dropped if somebody has brought it whole meanwhile.
        Raises SchemaError when it still cannot be read, UnknownConsumerError for a reaction that this code lacks.
        """
        arrived = self._writer.read(message)
        if arrived.event is None:
            return
        event_id, reaction = _cause(batch, message, arrived), self._by_name.get(consumer)
        if consumer.startswith(TABLE):
            if consumer.removeprefix(TABLE) not in self._folds.tables:
                raise UnknownConsumerError(f"no table here is {consumer!r}: bring it back, or discard the letter")
            self._fold(batch, message, arrived.event, consumer.removeprefix(TABLE))
        elif reaction is not None:
            self._lanes.park(batch, self._item(batch, reaction, event_id, arrived.event, message))
        elif consumer != ALL:
            raise UnknownConsumerError(f"no reaction here is called {consumer!r}: bring it back, or discard the letter")
        elif not self._seen(batch, message, arrived, clock.now_ms()):
            for item in self._handle(batch, message, _cause(batch, message, arrived), arrived.event):
                self._lanes.park(batch, item)

    async def room(self, owned: PartitionAssignment) -> None:
        """Wait while the partition has too many parked events."""
        await self._lanes.room(owned)

    def late(
        self,
        unit: CommitUnit,
        message: ConsumedRecord,
        consumers: AbstractSet[str],
        before: AbstractSet[bytes],
        recent: set[bytes],
    ) -> None:
        """Handle a record that its partition has passed, for these consumers alone; `recent` gets its id.

        A repetition is found by the time of the record that came first: the remembered one has it. For repetitions
        within one millisecond, `before` and `recent` have the ids of the records just before.
        """
        try:
            arrived = called(self._writer.read, message)
        except Exception:  # noqa: BLE001 - whatever it was, the record is a dead letter since it was first read
            return
        if arrived.event is None or not consumers or self._repeats(unit, message, arrived, before, recent):
            return
        for name in sorted(consumers & self._tables.keys()):
            self._fold(unit, message, arrived.event, self._tables[name])
        for reaction in self._reactions.get(type(arrived.event).event_type, ()):
            if of_reaction(reaction.name) in consumers:
                item = self._item(unit, reaction, _cause(unit, message, arrived), arrived.event, message)
                self._lanes.park_at_commit(unit, item)

    @staticmethod
    def _repeats(
        unit: CommitUnit,
        message: ConsumedRecord,
        arrived: DecodedRecord,
        before: AbstractSet[bytes],
        recent: set[bytes],
    ) -> bool:
        if not arrived.foreign:
            return False
        topic, at_ms = message.topic(), message.timestamp()[1]
        known, key = remembered_at(unit.assignment, topic, arrived.attributes), identity(topic, arrived.attributes)
        if known is None:
            remember(unit, topic, arrived.attributes, at_ms)
        elif known < at_ms or key in before or key in recent:
            return True
        recent.add(key)
        return False

    def consumer(self, position: str) -> str:
        """Return the name under which a consumer's dead letters are stored."""
        table = self._tables.get(position)
        return position.partition("/")[2] if table is None else TABLE + table

    def restored(self, owned: PartitionAssignment) -> None:
        """Go on with the parked events of a restored assignment."""
        owned.on_death.append(lambda: self._gone(owned))
        rows = [
            self._writer.codec.decode(row, ParkedEvent)
            for _, row in owned.stores[LEDGER].scan_committed(store_keys.PARKED_EVENT)
        ]
        for row in sorted(rows, key=lambda row: row.source_offset):
            item = self._item_of(owned, row)
            if item is not None:
                self._lanes.resume(item)

    def _gone(self, owned: PartitionAssignment) -> None:
        self._lanes.forget(owned)
        self._read_ms.pop(owned, None)

    def _item_of(self, owned: PartitionAssignment, row: ParkedEvent) -> ReactionItem | None:
        reaction, record = self._by_name.get(row.reaction), ParkedRecord(row)
        try:
            event = called(self._writer.read, record).event
        except Exception as error:  # noqa: BLE001 - one row that cannot be read must not hold its partition up
            why = error_message(error)
            log.warning("a parked event of %s can no longer be read and stays parked: %s", row.reaction, why)
            return None
        if reaction is None or event is None:
            log.warning("a parked event waits for reaction %r, which this worker does not have", row.reaction)
            return None
        item = ReactionItem(
            reaction, owned, row.lane, row.event_id, event, record, row.attempt, row.due_ms, row.first_ms
        )
        item.stored = True
        return item

    def _count_unknown(self, kind: str) -> None:
        if kind not in self.unknown:
            log.warning("events of type %r are not declared here: they are kept on the log and counted", kind)
        self.unknown[kind] = self.unknown.get(kind, 0) + 1

    def _seen(self, batch: RecordBatch, message: ConsumedRecord, arrived: DecodedRecord, at_ms: int) -> bool:
        """Remember the id of a record from outside as of a time; True if it was known."""
        return arrived.foreign and remember(batch, message.topic(), arrived.attributes, at_ms)

    def _handle(
        self, batch: RecordBatch, message: ConsumedRecord, event_id: str, event: Event, passed: AbstractSet[str] = _NONE
    ) -> list[ReactionItem]:
        """Fold an event and return what its reactions have to do; consumers in `passed` have it, or will read it."""
        tables = {self._tables[name] for name in passed & self._tables.keys()} if passed else _NONE
        self._fold(batch, message, event, passed=tables)
        return [
            self._item(batch, reaction, event_id, event, message)
            for reaction in self._reactions.get(type(event).event_type, ())
            if not passed or of_reaction(reaction.name) not in passed
        ]

    def _fold(
        self,
        batch: CommitUnit,
        message: ConsumedRecord,
        event: Event,
        only: str | None = None,
        passed: AbstractSet[str] = _NONE,
    ) -> None:
        """Fold an event; a table that fails is a dead letter of its own, so that a redrive counts it nowhere twice."""
        for name, error in self._folds.fold(batch, event, message.key(), only, passed):
            dead_letter(batch, self._writer, message, error, TABLE + name)

    def _item(
        self, batch: CommitUnit, reaction: Reaction, event_id: str, event: Event, message: ConsumedRecord
    ) -> ReactionItem:
        lane = (message.key() or b"").decode("utf-8", "replace")
        if reaction.by is not None:
            lane = called(lambda field: str(getattr(event, field)), reaction.by)
        return ReactionItem(reaction, batch.assignment, lane, event_id, event, message)


def _cause(unit: CommitUnit, message: ConsumedRecord, arrived: DecodedRecord) -> str:
    """Return the id from which those of a record's outputs are derived."""
    attributes = arrived.attributes
    return cause_of(unit.assignment, message.topic(), attributes) if arrived.foreign else attributes.id
