"""Answers in JSON, and a worker's words passed on unread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.responses import Response

from streams.gateway.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.query.wire import WorkerResponse

_ERROR: Final = 400
_KINDS: Final = {
    400: "malformed-request",
    404: "not-found",
    409: "run-not-succeeded",
    410: "gone",
    422: "invalid-request",
    501: "unsupported",
    503: "owner-unavailable",
}
"""What a worker's statuses mean to clients; 409 is the answer to asking for the result of a run that has none."""

_SAME: Final = frozenset({"run-expired"})
"""Types of workers' errors that clients of the gateway know under the same name."""


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer."""
    return Response(orjson.dumps(value), status, headers, "application/json")


def passed_on(said: WorkerResponse) -> Response:
    """Return what a worker said: a success as it is, an error under a type that clients of the gateway know."""
    if said.status < _ERROR:
        return Response(said.body, said.status, media_type="application/json")
    told = _members(said.body)
    detail = str(told.pop("detail", None) or "The worker that owns the key refuses.")
    kind = _KINDS.get(said.status, "internal")
    if told.get("type") in _SAME:
        kind = told["type"]
    for name in ("type", "title", "status"):
        told.pop(name, None)
    retry_after = int(said.retry_after) if said.retry_after and said.retry_after.isdigit() else None
    return Problem(kind, detail, retry_after=retry_after, **told).response()


def _members(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
