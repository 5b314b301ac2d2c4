"""From a type's name and JSON to an event, or the problem that names what does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import ValidationError

from schemas.catalogue import event_class
from schemas.errors import SchemaError
from streams.gateway.cloudevents import invalid
from streams.gateway.problem import INVALID_EVENT, ProblemType, field_errors

if TYPE_CHECKING:
    from schemas import Event

UNKNOWN_EVENT_TYPE: Final = ProblemType("unknown-event-type", 422, "There is no such event type")

_UNKNOWN: Final = {"field": "type", "message": "it is not known"}


def typed_event(known: dict[str, type[Event]], event_type: str, data: Any, at: str = "data") -> Event:
    """Return the event; Problem 422 for an unknown type, or naming the fields of `data` (below `at`) that are wrong."""
    kind = _class(known, event_type)
    try:
        return kind.model_validate_json(_dumped(data, at))
    except ValidationError as error:
        errors = field_errors(error.errors(include_url=False, include_context=False, include_input=False), at)
        detail = f"{errors[0]['field']}: {errors[0]['message']}."[:500]
        raise INVALID_EVENT(detail, errors=errors, event_type=event_type) from None


def _class(known: dict[str, type[Event]], event_type: str) -> type[Event]:
    try:
        kind = event_class(known, event_type)
    except SchemaError:
        kind = None
    if kind is None:
        raise UNKNOWN_EVENT_TYPE(f"No event has the type '{event_type[:200]}'.", errors=[_UNKNOWN])
    return kind


def _dumped(data: object, at: str) -> bytes:
    try:
        return orjson.dumps(data)
    except orjson.JSONEncodeError:
        raise invalid(at or "body", "it nests too deeply") from None
