"""The bus on this worker: each event once into the tables that fold it and the reactions that want it.

What came of a record (rows, events, submissions, the memory of its id) and its offset are one unit. Records from
outside are recognised by their id for a day; records that workers wrote are committed once and need no memory.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from schemas import Event
from schemas.parked import ParkedEvent
from streams import clock
from streams.error_text import error_message
from streams.tools._user_code import called
from streams.worker.errors import UnknownConsumerError
from streams.worker.journal import LEDGER
from streams.worker.letters import dead_letter
from streams.worker.reactions.item import Item, Kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.app import Catalog
    from streams.define.reactions import Reaction
    from streams.worker.courier import Arrived, Courier
    from streams.worker.folds import Folds
    from streams.worker.reactions.lanes import Lanes
    from streams.worker.record import Record
    from streams.worker.state.batch import Batch
    from streams.worker.state.slice import Slice

TABLE = "table:"
"""How the consumer of an event that a table failed at begins."""

ALL = "events"
"""The consumer of an event that nobody could handle, since it could not be read or its outcome be written."""

_PARKED = b"q/"


class Bus:
    """Takes batches of the topic `events`."""

    def __init__(
        self, catalog: Catalog, folds: Folds, lanes: Lanes, courier: Courier, warn: Callable[[str], None]
    ) -> None:
        """Serve the catalogue's reactions, and `folds`."""
        self._folds = folds
        self._lanes = lanes
        self._courier = courier
        self._warn = warn
        self._by_name = dict(catalog.reactions)
        self._reactions: dict[str, list[Reaction]] = defaultdict(list)
        for reaction in catalog.reactions.values():
            for kind in reaction.event_types:
                self._reactions[kind.event_type].append(reaction)
        self.unknown: dict[str, int] = {}

    async def take(self, batch: Batch) -> None:
        """Fold the batch's records in order, then run their reactions."""
        await self._lanes.room(batch.slice)
        items: list[Item] = []
        for message in batch.messages:
            try:
                arrived = called(self._courier.read, message)
            except Exception as error:  # noqa: BLE001 - nothing of it is in the unit yet, so its neighbours pass at once
                dead_letter(batch, self._courier, message, error, ALL)
                continue
            if arrived.event is None:
                self._count_unknown(arrived.attributes.type)
            elif not self._seen(batch, message, arrived, message.timestamp()[1]):
                items += self._handle(batch, message, arrived.attributes.id, arrived.event)
        if items:
            await self._lanes.handle(batch, items)

    def again(self, batch: Batch, message: Record, consumer: str) -> None:
        """Handle a redriven event: by one reaction, by one table, or (nobody has handled it at all) by all.

        That its id is known stops neither of the first two: it was handled then, but for them. What goes to all is
        remembered now, so that its sender may repeat it, and is dropped if somebody has brought it whole meanwhile.
        Raises SchemaError when it still cannot be read, UnknownConsumerError for a reaction that this code lacks.
        """
        arrived = self._courier.read(message)
        if arrived.event is None:
            return
        event_id, reaction = arrived.attributes.id, self._by_name.get(consumer)
        if consumer.startswith(TABLE):
            self._fold(batch, message, arrived.event, consumer.removeprefix(TABLE))
        elif reaction is not None:
            self._lanes.park(batch, self._item(batch, reaction, event_id, arrived.event, message))
        elif consumer != ALL:
            raise UnknownConsumerError(f"no reaction here is called {consumer!r}: bring it back, or discard the letter")
        elif not self._seen(batch, message, arrived, clock.now_ms()):
            for item in self._handle(batch, message, event_id, arrived.event):
                self._lanes.park(batch, item)

    def restored(self, owned: Slice) -> None:
        """Go on with the parked events of a restored slice."""
        owned.on_death.append(lambda: self._lanes.forget(owned))
        rows = [self._courier.codec.decode(row, ParkedEvent) for _, row in owned.stores[LEDGER].scan_committed(_PARKED)]
        for row in sorted(rows, key=lambda row: row.source_offset):
            item = self._item_of(owned, row)
            if item is not None:
                self._lanes.resume(item)

    def _item_of(self, owned: Slice, row: ParkedEvent) -> Item | None:
        reaction, record = self._by_name.get(row.reaction), Kept(row)
        try:
            event = called(self._courier.read, record).event
        except Exception as error:  # noqa: BLE001 - one row that cannot be read must not hold its partition up
            why = error_message(error)
            self._warn(f"a parked event of {row.reaction} can no longer be read and stays parked: {why}")
            return None
        if reaction is None or event is None:
            self._warn(f"a parked event waits for reaction {row.reaction!r}, which this worker does not have")
            return None
        item = Item(reaction, owned, row.lane, row.event_id, event, record, row.attempt, row.due_ms, row.first_ms)
        item.stored = True
        return item

    def _count_unknown(self, kind: str) -> None:
        if kind not in self.unknown:
            self._warn(f"events of type {kind!r} are not declared here: they are kept on the log and counted")
        self.unknown[kind] = self.unknown.get(kind, 0) + 1

    def _seen(self, batch: Batch, message: Record, arrived: Arrived, at_ms: int) -> bool:
        """Remember the id of a record from outside as of a time; True if it was known."""
        if not arrived.foreign:
            return False
        store = batch.slice.stores[LEDGER]
        key = seen_key(message.topic(), arrived.attributes.id)
        if store.get(key) is not None:
            return True
        batch.put(store, key, b"%d" % at_ms)
        return False

    def _handle(self, batch: Batch, message: Record, event_id: str, event: Event) -> list[Item]:
        self._fold(batch, message, event)
        return [
            self._item(batch, reaction, event_id, event, message)
            for reaction in self._reactions.get(type(event).event_type, ())
        ]

    def _fold(self, batch: Batch, message: Record, event: Event, only: str | None = None) -> None:
        """Fold an event; a table that fails is a dead letter of its own, so that a redrive counts it nowhere twice."""
        for name, error in self._folds.fold(batch, event, message.key(), only):
            dead_letter(batch, self._courier, message, error, TABLE + name)

    def _item(self, batch: Batch, reaction: Reaction, event_id: str, event: Event, message: Record) -> Item:
        lane = (message.key() or b"").decode("utf-8", "replace")
        if reaction.by is not None:
            lane = called(lambda field: str(getattr(event, field)), reaction.by)
        return Item(reaction, batch.slice, lane, event_id, event, message)


def seen_key(topic: str, event_id: str) -> bytes:
    """Return the key under which the id of a record from outside is remembered."""
    return f"d/{topic}/{event_id}".encode()
