"""What a redrive writes: a dead letter's record, edited or as it was, as a command to the consumer that gave it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemas.attributes import CONTENT_TYPE, SPEC_VERSION, Attributes
from schemas.dead import DeadLettered, RedriveRequested
from schemas.errors import SchemaError
from schemas.run import RunSubmitted
from streams.gateway.event_from_json import typed_event
from streams.gateway.problem import CONFLICT, invalid_request
from streams.gateway.write import ProducedRecord

if TYPE_CHECKING:
    from schemas import Event
    from streams.app import Catalog
    from streams.gateway.deps import DeadLetterSource
    from streams.query.dead_letters import DeadLetter
    from topics.names import Names

SOURCE: Final = "source:"
"""How the consumer of a delivery that its source's function failed on begins."""

SIGNALS: Final = "signals"
_POOL: Final = "default"


class Edit(NamedTuple):
    """A new value for the record, as JSON by the schema of its event."""

    value: Any


class Redriver:
    """Makes the records; pure, apart from asking the codec."""

    def __init__(self, catalog: Catalog, names: Names, index: DeadLetterSource) -> None:
        self._events = catalog.events
        self._agents = set(catalog.agents)
        tables = {f"table:{table.name}": table.pool for table in catalog.tables.values()}
        self._pools = {agent.name: agent.pool for agent in catalog.agents.values()} | tables
        self._consumers = {*catalog.agents, *catalog.reactions, *catalog.schedules, *tables, "events", SIGNALS}
        self._names = names
        self._index = index

    def record(self, found: DeadLetter, edit: Edit | None) -> ProducedRecord:
        """Return what to write on `signals`; Problem 409 where a redrive is impossible, 422 for a bad edit."""
        letter, attempt = found.letter, found.redrives + 1
        if letter.consumer not in self._consumers:
            raise CONFLICT(f"Nothing here is called {letter.consumer!r} any more: discard it."[:300])
        edited = None if edit is None else self._edited(letter, edit)
        if letter.consumer == SIGNALS:
            return self._signal(letter, edited)
        asked = RedriveRequested(
            dead_id=letter.dead_id,
            attempt=attempt,
            consumer=letter.consumer,
            source_topic=letter.source_topic,
            source_partition=letter.source_partition,
            source_offset=letter.source_offset,
            key=letter.key,
            value=letter.value if edited is None else self._index.encode(edited),
            headers=letter.headers if edited is None else _headers(letter, edited),
            run_id=letter.run_id,
        )
        headers = {"pool": self._pools.get(letter.consumer, _POOL)}
        record_id = f"{letter.dead_id}/redrive/{attempt}"
        return self._placed(ProducedRecord(self._names.signals, asked, record_id, headers=headers), asked, edited)

    def _placed(self, record: ProducedRecord, asked: RedriveRequested, edited: Event | None) -> ProducedRecord:
        """Send it where the consumer has the key's state: a run's by its id, all else where the record lay."""
        run_id = asked.run_id or self._run_id(asked, edited)
        if run_id is not None:
            event = asked.model_copy(update={"key": run_id.encode()})
            return record._replace(event=event, key=run_id)
        key = (asked.key or b"").decode("utf-8", "replace")
        return record._replace(key=key, partition=asked.source_partition if asked.source_partition >= 0 else None)

    def _run_id(self, asked: RedriveRequested, edited: Event | None) -> str | None:
        """Return the run that a submission names; None if the dead letter is none that can be read."""
        if asked.consumer not in self._agents:
            return None
        if isinstance(edited, RunSubmitted):
            return edited.run_id
        try:
            found = self._index.fields(asked.value or b"").get("run_id")
        except SchemaError:
            return None
        return found if isinstance(found, str) and found else None

    def _edited(self, letter: DeadLettered, edit: Edit) -> Event:
        if letter.run_id is not None:
            raise invalid_request("edit", "a run is resumed as it is; fork it to edit one of its answers")
        event_type = RunSubmitted.event_type if letter.consumer in self._agents else _type_of(letter)
        if event_type is None:
            raise invalid_request("edit", "the record does not say of which type it is, so it cannot be edited")
        return typed_event(self._events, event_type, edit.value, "edit")

    def _signal(self, letter: DeadLettered, edited: Event | None) -> ProducedRecord:
        """Write the signal again: signals have ids of their own, by which runs recognise repeats."""
        event_type = _type_of(letter)
        kind = None if event_type is None else self._events.get(event_type)
        if edited is None and kind is not None:
            try:
                edited = typed_event(self._events, str(event_type), self._index.fields(letter.value or b""), "value")
            except SchemaError:
                kind = None
        if edited is None:
            raise CONFLICT("The record cannot be read as it is: redrive it with an edit, or discard it.")
        headers = {
            name: value.decode("utf-8", "replace")
            for name, value in letter.headers.items()
            if name in {"agent", "pool", "ending"}
        }
        return ProducedRecord(self._names.signals, edited, _text(letter, "ce_id"), edited.key_text(), headers)


def _type_of(letter: DeadLettered) -> str | None:
    return _text(letter, "ce_type")


def _text(letter: DeadLettered, name: str) -> str | None:
    return letter.headers.get(name, b"").decode("utf-8", "replace") or None


def _headers(letter: DeadLettered, edited: Event) -> dict[str, bytes]:
    """Return the record's headers, completed where it failed for the lack of one."""
    made = Attributes(letter.dead_id, edited.event_type, "/dead-letters", letter.first_ms).to_headers()
    given = {name: value for name, value in letter.headers.items() if value}
    fixed = {"ce_specversion": SPEC_VERSION.encode(), "content-type": CONTENT_TYPE.encode()}
    return {**dict(made), **given, **fixed, "ce_type": edited.event_type.encode()}
