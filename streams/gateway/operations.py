"""The page of all endpoints: path, access, answers and problems, each with the handler that serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from schemas.run import STATUSES
from streams.gateway import sse
from streams.gateway.operation import Operation, Param
from streams.gateway.pages import MAX_LIMIT
from streams.gateway.submit import IDEMPOTENCY_KEY

if TYPE_CHECKING:
    from streams.gateway.commands import Commands
    from streams.gateway.lists import RunList
    from streams.gateway.people import People
    from streams.gateway.probes import Probes
    from streams.gateway.run_events import RunEvents
    from streams.gateway.runs import Runs
    from streams.gateway.tables import Tables
    from streams.gateway.webhooks import Webhooks

TEXT: Final[dict[str, Any]] = {"type": "string"}
OBJECT: Final[dict[str, Any]] = {"type": "object"}
LIMIT: Final = Param("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}, "how many at most")
_STALE: Final = Param("stale", {"type": "string", "enum": ["ok"]}, "a standby may answer while the owner does not")
CURSOR: Final = Param("cursor", TEXT, "next of the answer before")
_READ: Final = ("unknown-run", "owner-unavailable")
_WRITE: Final = (
    "malformed-json",
    "malformed-request",
    "too-large",
    "slow-body",
    "conflict",
    "unknown-run",
    "invalid-request",
    "busy",
    "not-acknowledged",
    "owner-unavailable",
)
_ACCEPTED: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["run_id", "id", "accepted"],
    "properties": {"run_id": TEXT, "id": TEXT, "accepted": TEXT},
}


def texts(*names: str) -> tuple[Param, ...]:
    """Return query parameters that filter."""
    return tuple(Param(name, TEXT, f"only those with this {name}") for name in names)


def list_of(name: str, *, paged: bool = False) -> dict[str, Any]:
    """Return the schema of an answer that lists."""
    paging = {"next": {"type": ["string", "null"]}} if paged else {}
    return {
        "type": "object",
        "required": [name, *paging],
        "properties": {name: {"type": "array", "items": OBJECT}, **paging},
    }


def of_runs(runs: Runs, listed: RunList, events: RunEvents) -> list[Operation]:
    """Return the endpoints that read runs."""
    filters = (
        *texts("agent", "parent"),
        Param("key", TEXT, "only those with this concurrency key"),
        Param("status", {"type": "string", "enum": list(STATUSES)}, "only those with this status"),
        Param("since", {"type": "string", "format": "date-time"}, "only those created at or after this time"),
        LIMIT,
        CURSOR,
    )
    problems = ("invalid-request", "owner-unavailable")
    result = {"type": "object", "required": ["run_id"], "properties": {"run_id": TEXT, "result": {}}}
    state = {
        "type": "object",
        "required": ["run_id", "status"],
        "properties": {"run_id": TEXT, "status": {"type": "string", "enum": [*STATUSES, "expired"]}},
    }
    resume = (
        Param(
            "Last-Event-ID",
            {"type": "string", "pattern": "^[0-9]*$"},
            "the id of the last event that was seen",
            "header",
        ),
    )
    return [
        Operation(
            "GET",
            "/runs/{id}/events",
            events,
            "read",
            "A run's events as they come",
            {200: sse.SCHEMA},
            (*_READ, "invalid-request", "log-unavailable", "busy"),
            resume,
            media=sse.MEDIA_TYPE,
        ),
        Operation(
            "GET",
            "/runs/{id}",
            runs.show,
            "read",
            "A run's state, as it is or as it was after an entry of its journal",
            {200: state},
            (*_READ, "invalid-request"),
            (Param("at", {"type": "integer", "minimum": 1}, "the seq of that entry"), _STALE),
        ),
        Operation(
            "GET",
            "/runs/{id}/result",
            runs.result,
            "read",
            "A run's result; 202 while it is not finished",
            {200: result, 202: OBJECT},
            (*_READ, "run-not-succeeded", "run-expired"),
        ),
        Operation(
            "GET", "/runs/{id}/history", runs.history, "read", "A run's journal", {200: list_of("entries")}, _READ
        ),
        Operation(
            "GET", "/runs", listed, "read", "Runs, newest first", {200: list_of("runs", paged=True)}, problems, filters
        ),
    ]


def of_commands(commands: Commands) -> list[Operation]:
    """Return the endpoints that change a run."""
    key = (IDEMPOTENCY_KEY,)
    json = "application/json"
    reason = {json: {"type": "object", "properties": {"reason": TEXT}, "additionalProperties": False}}
    nothing = {json: {"type": "object", "additionalProperties": False}}
    fork = {
        json: {
            "type": "object",
            "required": ["at"],
            "additionalProperties": False,
            "properties": {"at": {"type": ["string", "integer"]}, "edits": {"type": ["object", "null"]}},
        }
    }
    forked = {"type": "object", "required": ["run_id"], "properties": {"run_id": TEXT, "forked_from": TEXT}}
    accepted = {202: _ACCEPTED}
    return [
        Operation(
            "POST",
            "/runs/{id}/cancel",
            commands.cancel,
            "submit",
            "Cancel",
            accepted,
            _WRITE,
            key,
            reason,
            body_required=False,
        ),
        Operation(
            "POST",
            "/runs/{id}/resume",
            commands.resume,
            "submit",
            "Go on from the failed step",
            accepted,
            _WRITE,
            key,
            nothing,
            body_required=False,
        ),
        Operation(
            "POST",
            "/runs/{id}/signals/{name}",
            commands.signal,
            "submit",
            "Send the event that a run waits for",
            accepted,
            (*_WRITE, "unknown-event-type", "invalid-event"),
            key,
            {json: {}},
        ),
        Operation(
            "POST",
            "/runs/{id}/fork",
            commands.fork,
            "submit",
            "A new run from a step of this one",
            {202: forked},
            _WRITE,
            key,
            fork,
        ),
    ]


def of_webhooks(webhooks: Webhooks) -> list[Operation]:
    """Return the endpoint of all sources."""
    taken = {
        "type": "object",
        "required": ["id", "events", "runs"],
        "properties": {
            "id": TEXT,
            "events": {"type": "array", "items": TEXT},
            "runs": {"type": "array", "items": TEXT},
            "duplicate": {"type": "boolean"},
        },
    }
    problems = (
        "malformed-json",
        "malformed-request",
        "bad-signature",
        "unknown-source",
        "too-large",
        "slow-body",
        "unsupported-media-type",
        "rejected",
        "busy",
        "not-acknowledged",
    )
    return [
        Operation(
            "POST",
            "/webhooks/{source}",
            webhooks,
            "optional",
            "A signed delivery",
            {200: OBJECT, 202: taken},
            problems,
            body={"application/json": {}, "application/x-www-form-urlencoded": {}},
            tag="events",
            foreign=True,
        ),
        Operation(
            "GET",
            "/webhooks/{source}",
            webhooks.ask,
            "open",
            "Answer a sender that asks whether the endpoint is the right one",
            {200: TEXT},
            ("bad-signature", "unknown-source", "method-not-allowed"),
            media="text/plain",
            tag="events",
            foreign=True,
        ),
    ]


def of_tables(tables: Tables) -> list[Operation]:
    """Return the endpoints that read tables."""
    row_params = (
        Param("consistency", {"type": "string", "pattern": "^offset:[0-9]+$"}, "wait until this offset is applied"),
        Param("topic", TEXT, "the topic of that offset; events if not given"),
        Param("at", TEXT, "as it was: after the record with this offset, or at an RFC 3339 time"),
        _STALE,
    )
    problems = ("unknown-table", "invalid-request", "owner-unavailable")
    row = {"type": "object", "required": ["key", "value"], "properties": {"key": TEXT, "value": {}}}
    scan = (Param("prefix", TEXT, "only keys that begin so"), LIMIT, CURSOR)
    rows = {200: list_of("rows", paged=True)}
    return [
        Operation("GET", "/tables", tables.list, "read", "The tables", {200: list_of("tables")}, tag="tables"),
        Operation(
            "GET",
            "/tables/{name}",
            tables.scan,
            "read",
            "Rows in order of key",
            rows,
            (*problems, "not-found"),
            scan,
            tag="tables",
        ),
        Operation(
            "GET",
            "/tables/{name}/{key:text}",
            tables.row,
            "read",
            "A row",
            {200: row},
            (*problems, "not-found", "gone", "log-unavailable"),
            row_params,
            tag="tables",
        ),
    ]


def of_people(people: People) -> list[Operation]:
    """Return the endpoints that show what exists."""
    return [
        Operation("GET", f"/{name}", handler, "read", f"The {name}", {200: list_of(name)}, tag="people")
        for name, handler in (
            ("tools", people.tools),
            ("workers", people.workers),
        )
    ]


def of_probes(probes: Probes) -> list[Operation]:
    """Return the endpoints for the machinery around a gateway."""
    return [
        Operation("GET", "/healthz", probes.healthz, "open", "The process answers", {200: OBJECT}, tag="probes"),
        Operation(
            "GET",
            "/readyz",
            probes.readyz,
            "open",
            "Broker, topics and model answer",
            {200: OBJECT, 503: OBJECT},
            tag="probes",
        ),
        Operation(
            "GET", "/metrics", probes.metrics, "open", "Prometheus text", {200: TEXT}, media="text/plain", tag="probes"
        ),
    ]
