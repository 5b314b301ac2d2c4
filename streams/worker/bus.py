"""The bus on this worker: each event once into the tables that fold it and the reactions that want it.

What came of a record (rows, events, submissions, the memory of its id) and its offset are one unit. Records from
outside are recognised by their id for a day; records that workers wrote are committed once and need no memory.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from schemas import Event
from schemas.errors import SchemaError
from streams import clock
from streams.define.policies import Reject, Retry
from streams.define.starts import StartRun
from streams.engine.ids import seeded, started_id
from streams.errors import StreamsError
from streams.worker.journal import LEDGER
from streams.worker.letters import dead_letter
from streams.worker.starts import submission

if TYPE_CHECKING:
    from streams.app import Catalog
    from streams.define.reactions import Reaction
    from streams.worker.courier import Arrived, Courier
    from streams.worker.folds import Folds
    from streams.worker.record import Record
    from streams.worker.state.batch import Batch


class Bus:
    """Takes batches of the topic `events`."""

    def __init__(self, catalog: Catalog, folds: Folds, courier: Courier) -> None:
        """Serve the catalogue's reactions and `folds`."""
        self._folds = folds
        self._courier = courier
        self._reactions: dict[str, list[Reaction]] = defaultdict(list)
        for reaction in catalog.reactions.values():
            for kind in reaction.event_types:
                self._reactions[kind.event_type].append(reaction)
        self.unknown: dict[str, int] = {}

    async def take(self, batch: Batch) -> None:
        """Handle the records of a batch in order."""
        for message in batch.messages:
            if not batch.slice.live:
                return
            try:
                arrived = self._courier.read(message)
            except (SchemaError, ValueError) as error:
                dead_letter(batch, self._courier, message, error, "events")
                continue
            if arrived.event is None:
                kind = arrived.attributes.type
                self.unknown[kind] = self.unknown.get(kind, 0) + 1
            elif not self._seen(batch, message, arrived):
                await self._handle(batch, message, arrived, arrived.event)

    def _seen(self, batch: Batch, message: Record, arrived: Arrived) -> bool:
        """Remember the id of a record from outside; True if it was known."""
        if not arrived.foreign:
            return False
        store = batch.slice.stores[LEDGER]
        key = seen_key(message.topic(), arrived.attributes.id)
        if store.get(key) is not None:
            return True
        batch.put(store, key, b"%d" % message.timestamp()[1])
        return False

    async def _handle(self, batch: Batch, message: Record, arrived: Arrived, event: Event) -> None:
        key = message.key()
        try:
            self._folds.fold(batch, event, key)
        except Exception as error:  # noqa: BLE001 - a fold is users' code; its error is this event's dead letter
            dead_letter(batch, self._courier, message, error, "tables")
        for reaction in self._reactions.get(arrived.attributes.type, ()):
            await self._react(batch, message, arrived, event, reaction)

    async def _react(self, batch: Batch, message: Record, arrived: Arrived, event: Event, reaction: Reaction) -> None:
        """Run one reaction with its retries; what it returns joins the unit, what it cannot do is a dead letter."""
        attempt = 1
        while batch.slice.live:
            try:
                made = reaction.fn(event)
                if inspect.isawaitable(made):
                    made = await made
                self._put(batch, arrived, reaction, _listed(made))
            except Exception as error:  # noqa: BLE001 - a reaction is users' code; its policy decides
                wait = _wait(reaction, error, attempt, arrived.attributes.id)
                if wait is None:
                    dead_letter(batch, self._courier, message, error, reaction.name, attempts=attempt)
                    return
                attempt += 1
                await asyncio.sleep(wait)
            else:
                return

    def _put(self, batch: Batch, arrived: Arrived, reaction: Reaction, outputs: Iterable[Any]) -> None:
        cause = arrived.attributes.id
        for index, output in enumerate(outputs):
            if isinstance(output, StartRun):
                run_id = output.run_id or started_id(cause, reaction.name, index)
                event = submission(output, run_id, clock.now_ms())
                topic = self._courier.names.agents(output.agent.name)
                self._courier.write(batch, topic, event, id=f"{run_id}/submitted/0", key=run_id)
            elif isinstance(output, Event):
                self._courier.write(
                    batch,
                    self._courier.names.events,
                    output,
                    id=f"{cause}/{reaction.name}/{index}",
                    key=output.key_text(),
                )
            else:
                raise Reject(f"{reaction.name} returned a {type(output).__name__}: return events, StartRun or None")


def seen_key(topic: str, event_id: str) -> bytes:
    """Return the key under which the id of a record from outside is remembered."""
    return f"d/{topic}/{event_id}".encode()


def _listed(made: Any) -> list[Any]:
    if made is None:
        return []
    return list(made) if isinstance(made, list | tuple) else [made]


def _wait(reaction: Reaction, error: Exception, attempt: int, event_id: str) -> float | None:
    """Return the seconds until the next attempt, None to give up."""
    policy = reaction.retry
    types = tuple(kind.__name__ for kind in type(error).__mro__)
    if isinstance(error, Retry):
        if attempt >= policy.attempts:
            return None
        if error.after is not None:
            return error.after
    elif (
        isinstance(error, Reject | StreamsError | SchemaError) or attempt >= policy.attempts or not policy.allows(types)
    ):
        return None
    return policy.delay(attempt, seeded(event_id, reaction.name, attempt))
