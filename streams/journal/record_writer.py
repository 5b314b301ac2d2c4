"""Encodes events as records with CloudEvents headers, and decodes and checks records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from schemas import Event
from schemas.attributes import Attributes, headers_of
from schemas.avro.codec import Codec
from schemas.catalogue import event_class
from schemas.dead import DeadLettered
from schemas.errors import SchemaError
from streams import clock
from topics.names import Names

if TYPE_CHECKING:
    from streams.engine.decision import Output
    from streams.runtime.commit_unit import CommitUnit
    from streams.runtime.record import ConsumedRecord

OWN_SOURCE: Final = "/streams/workers/"  # records of ours are committed once, so they need no deduplication


@dataclass(frozen=True, slots=True)
class DecodedRecord:
    """A record that could be read; `event` is None where nobody here knows its type (on the log, not handled)."""

    attributes: Attributes
    event: Event | None

    @property
    def foreign(self) -> bool:
        """Return whether it came from outside our transactions and may come again."""
        return not self.attributes.source.startswith(OWN_SOURCE)


class RecordWriter:
    """Encodes and decodes for one worker."""

    def __init__(
        self,
        names: Names,
        codec: Codec,
        events: Mapping[str, type[Event]],
        pool: str,
        on_dead_letter: Callable[[DeadLettered], None] | None = None,
    ) -> None:
        """Write as a worker of `pool`; `events` are all known types.

        `on_dead_letter` is called with each dead letter once it is committed.
        """
        self.names = names
        self.codec = codec
        self._events = dict(events)
        self.pool = pool
        self._source = OWN_SOURCE + pool
        self._on_dead_letter = on_dead_letter

    def send(self, unit: CommitUnit, output: Output, traceparent: str | None = None) -> None:
        """Add an output of a run, reaction or schedule to `unit`; an event without a key has its id for one.

        A record without a key goes to any partition, where no reader would look for the row that it is folded into.

        Raises RecordTooLargeError, UnitTooLargeError, SchemaError.
        """
        extra = {}
        if output.to == "signals" and output.agent is not None:
            extra = {"agent": output.agent, "pool": output.pool or "default"}
        self.write(
            unit,
            self._topic(output),
            output.event,
            id=output.id,
            key=output.key or output.id,
            extra=extra,
            traceparent=traceparent,
        )

    def write(
        self,
        unit: CommitUnit,
        topic: str,
        event: Event,
        *,
        id: str,
        key: str | None,
        extra: dict[str, str] | None = None,
        limit: int | None = None,
        traceparent: str | None = None,
    ) -> None:
        """Add `event` to `unit` for `topic`; `limit` replaces the usual size limit, in bytes.

        Without a `traceparent` the record begins a trace of its own.
        """
        headers = headers_of(id, event.event_type, self._source, clock.now_ms(), traceparent, extra)
        value = self.codec.encode(event)
        unit.send(topic, value, None if key is None else key.encode(), -1, headers, limit=limit)
        if self._on_dead_letter is not None and isinstance(event, DeadLettered):
            unit.on_commit.append(partial(self._on_dead_letter, event))

    def spread(
        self, unit: CommitUnit, event: Event, *, id: str, key: str, partitions: Iterable[int], extra: dict[str, str]
    ) -> None:
        """Add `event` to `unit` for the owners of these partitions in this pool: a record of `signals` in each."""
        value = self.codec.encode(event)
        extra = extra | {"pool": self.pool}
        for number in partitions:
            headers = headers_of(f"{id}/{number}", event.event_type, self._source, clock.now_ms(), None, extra)
            unit.send(self.names.signals, value, key.encode(), number, headers)

    def read(self, message: ConsumedRecord) -> DecodedRecord:
        """Decode a record; raises SchemaError (UndecodableError for the value) with the cause."""
        headers = message.headers()
        attributes = Attributes.from_headers(headers, default_time=message.timestamp()[1])
        kind = event_class(self._events, attributes.type)
        return DecodedRecord(attributes, None if kind is None else self.codec.decode(message.value(), kind))

    def _topic(self, output: Output) -> str:
        names = self.names
        if output.to == "agents":
            if output.agent is None:
                raise SchemaError("a submission without an agent's name has no queue")
            return names.agents(output.agent)
        return names.dead_letters if output.to == "dead-letters" else names.topic(output.to)
