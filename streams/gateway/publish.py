"""`POST /events`: facts from outside, checked against their schema, put on the bus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from schemas.attributes import milliseconds, new_id
from schemas.errors import SchemaError
from streams.contract.events import EventsAccepted
from streams.gateway.access import Caller
from streams.gateway.answers import answer_as
from streams.gateway.body import BODY_PROBLEMS, content
from streams.gateway.cloudevents import BATCH, STRUCTURED, Incoming, invalid, parse_events
from streams.gateway.event_from_json import UNKNOWN_EVENT_TYPE, typed_event
from streams.gateway.ids import hashed
from streams.gateway.internal import check_source, check_type
from streams.gateway.operation import IDEMPOTENCY_KEY, JSON, TEXT, Operation, OperationCall
from streams.gateway.recent import Recent
from streams.gateway.write import WRITE_PROBLEMS, ProducedRecord, write_all

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.gateway.deps import Deps
    from topics.producer import Ack

_REMEMBERED: Final = 20_000
_YEAR_10000_MS: Final = 253_402_300_800_000


class EventPublisher:
    """Takes events in; an idempotency key stands for the same answer, whatever gateway or restart is between."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._topic = deps.names.events
        self._answered: Recent[tuple[str, bytes], list[dict[str, Any]]] = Recent(_REMEMBERED)

    async def __call__(self, call: OperationCall) -> Response:
        """Answer 202 once every event of the request is acknowledged; with one wrong none is written."""
        key = call.idempotency_key
        body = await content(call)
        incoming, batch = parse_events(call.headers, body)
        sender = call.caller or Caller("", frozenset())
        caller = sender.name
        known = None if key is None else self._answered.get((caller + "\x00" + key, body))
        if known is None:
            for item in incoming:
                check_source(item.source)
                check_type(item.type, sender, by_hand=sender.may("admin"))
            records = [self._record(item, index, caller, key) for index, item in enumerate(incoming)]
            acks = await write_all(self._deps.producer, records, call.headers.get("traceparent"))
            known = [_accepted(ack) for ack in acks]
            if key is not None:
                self._answered.put((caller + "\x00" + key, body), known)
        return answer_as(EventsAccepted, known if batch else known[0], 202)

    def _record(self, item: Incoming, index: int, caller: str, key: str | None) -> ProducedRecord:
        event = typed_event(self._deps.catalog.events, item.type, item.data)
        event_id = item.id or (new_id() if key is None else hashed("e-", caller, key, str(index)))
        key_text = item.key or event.key_text() or event_id
        extra = {f"ce_{name}": value for name, value in item.extra.items()}
        return ProducedRecord(self._topic, event, event_id, key_text, extra or None, item.source, _time(item))

    def operations(self) -> list[Operation]:
        """Return the operation that publishes."""
        short = {
            "type": "object",
            "required": ["type", "data"],
            "additionalProperties": False,
            "properties": {"type": TEXT, "key": TEXT, "data": {}, "id": TEXT},
        }
        cloud = {
            "type": "object",
            "required": ["specversion", "id", "source", "type"],
            "properties": {"specversion": {"const": "1.0"}, "id": TEXT, "source": TEXT, "type": TEXT, "data": {}},
        }
        return [
            Operation(
                "POST",
                "/events",
                self.__call__,
                "submit",
                "Publish an event, or CloudEvents in any form; binary mode has its attributes in ce- headers",
                {202: EventsAccepted},
                (*BODY_PROBLEMS, UNKNOWN_EVENT_TYPE, *WRITE_PROBLEMS),
                params=(IDEMPOTENCY_KEY,),
                body={JSON: short, STRUCTURED: cloud, BATCH: {"type": "array", "items": cloud}},
                tag="events",
            )
        ]


def _time(item: Incoming) -> int | None:
    if item.time is None:
        return None
    try:
        time_ms = milliseconds(item.time)
    except SchemaError:
        time_ms = -1
    if not 0 <= time_ms < _YEAR_10000_MS:
        raise invalid("time", "it is not an RFC 3339 time with an offset, from 1970 on")
    return time_ms


def _accepted(ack: Ack) -> dict[str, Any]:
    return {"id": ack.id, "topic": ack.topic, "partition": ack.partition, "offset": ack.offset}
