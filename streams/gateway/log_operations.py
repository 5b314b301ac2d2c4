"""The page of the endpoints over the log itself: topics and dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from streams.gateway.operation import Operation, Param
from streams.gateway.operations import LIMIT, OBJECT, TEXT, list_of, texts
from streams.gateway.submit import IDEMPOTENCY_KEY
from streams.query.dead_letters import STATES

if TYPE_CHECKING:
    from streams.gateway.archive import Archive
    from streams.gateway.letters import Letters

_JSON: Final = "application/json"
_FLAG: Final[dict[str, Any]] = {"type": "boolean"}
_WRITE: Final = (
    "malformed-json",
    "malformed-request",
    "too-large",
    "slow-body",
    "invalid-request",
    "busy",
    "not-acknowledged",
    "log-unavailable",
)
_ORDER: Final = (*_WRITE, "not-found", "conflict")
_DONE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["dead_id", "state"],
    "properties": {"dead_id": TEXT, "state": {"type": "string", "enum": list(STATES)}, "edited": _FLAG},
}


def of_archive(archive: Archive) -> list[Operation]:
    """Return the endpoints that read topics."""
    params = (
        Param("from", TEXT, "earliest, an offset or a time, inclusive"),
        Param("to", TEXT, "latest, an offset or a time, exclusive"),
        *texts("key", "type"),
        LIMIT,
        Param("Last-Event-ID", TEXT, "for a stream: the id of the last event that was seen", "header"),
    )
    problems = ("unknown-topic", "invalid-request", "log-unavailable")
    return [
        Operation(
            "GET", "/topics", archive.topics, "read", "The topics", {200: list_of("topics")}, problems[2:], tag="log"
        ),
        Operation(
            "GET",
            "/topics/{name}/events",
            archive.events,
            "read",
            "Decoded events of a topic; as server-sent events where those are accepted",
            {200: list_of("events")},
            (*problems, "busy"),
            params,
            tag="log",
            streamed=True,
        ),
    ]


def of_letters(letters: Letters) -> list[Operation]:
    """Return the endpoints of dead letters; an id may hold slashes, so the path that ends with a verb comes first."""
    filters = (
        *texts("fingerprint", "consumer"),
        Param("state", {"type": "string", "enum": list(STATES)}, "only those with this state"),
        Param("group", _FLAG, "one row for each kind of failure instead"),
        LIMIT,
    )
    listed = {
        "type": "object",
        "required": ["complete"],
        "properties": {
            "letters": {"type": "array", "items": OBJECT},
            "groups": {"type": "array", "items": OBJECT},
            "complete": _FLAG,
        },
    }
    return [
        Operation(
            "GET",
            "/dead-letters",
            letters.all,
            "read",
            "What was given up, newest first",
            {200: listed},
            ("invalid-request", "log-unavailable"),
            filters,
            tag="log",
        ),
        _redrive_many(letters),
        Operation(
            "POST",
            "/dead-letters/{id:text}/redrive",
            letters.redrive,
            "admin",
            "Hand it to its consumer again, as it was or with an edited value; a run's is resumed",
            {202: _DONE},
            (*_ORDER, "invalid-event", "unknown-event-type", "rejected", "unknown-agent", "invalid-input"),
            (IDEMPOTENCY_KEY,),
            {_JSON: {"type": "object", "additionalProperties": False, "properties": {"edit": {}}}},
            body_required=False,
            tag="log",
        ),
        Operation(
            "POST",
            "/dead-letters/{id:text}/discard",
            letters.discard,
            "admin",
            "Let it go",
            {202: _DONE},
            _ORDER,
            (IDEMPOTENCY_KEY,),
            {_JSON: {"type": "object", "additionalProperties": False, "properties": {"reason": TEXT}}},
            body_required=False,
            tag="log",
        ),
        Operation(
            "GET",
            "/dead-letters/{id:text}",
            letters.show,
            "read",
            "A dead letter with its cause and its record",
            {200: OBJECT},
            ("not-found", "log-unavailable"),
            tag="log",
        ),
    ]


def _redrive_many(letters: Letters) -> Operation:
    body = {
        "type": "object",
        "required": ["fingerprint"],
        "additionalProperties": False,
        "properties": {
            "fingerprint": {"type": "string", "minLength": 1},
            "rate": {"type": ["number", "null"], "minimum": 0.1, "maximum": 1000},
            "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
            "dry_run": _FLAG,
        },
    }
    ids = {"type": "array", "items": TEXT}
    count = {"type": "integer"}
    return Operation(
        "POST",
        "/dead-letters/redrive",
        letters.redrive_many,
        "admin",
        "Hand over the open letters of a fingerprint, oldest first, at a rate; ask again while some are left",
        {
            200: {"type": "object", "properties": {"matching": count, "would_redrive": ids, "complete": _FLAG}},
            202: {
                "type": "object",
                "properties": {
                    "redriven": ids,
                    "refused": {"type": "array", "items": OBJECT},
                    "left": count,
                    "complete": _FLAG,
                },
            },
        },
        _WRITE,
        body={_JSON: body},
        tag="log",
    )
