"""Answers in JSON: a model, members in the shape of a model, or what a worker answered, unread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.responses import Response

from streams.gateway.problem import (
    INTERNAL,
    INVALID_REQUEST,
    MALFORMED_REQUEST,
    NOT_FOUND,
    OWNER_UNAVAILABLE,
    ProblemType,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from streams.query.wire import WorkerResponse

RUN_EXPIRED: Final = ProblemType("run-expired", 409, "The run ended and its history was deleted")
RUN_NOT_SUCCEEDED: Final = ProblemType("run-not-succeeded", 409, "The run ended without a result")
GONE: Final = ProblemType("gone", 410, "That is no longer known")
UNSUPPORTED: Final = ProblemType("unsupported", 501, "This version does not serve that")

_ERROR: Final = 400
_BY_STATUS: Final = {
    400: MALFORMED_REQUEST,
    404: NOT_FOUND,
    409: RUN_NOT_SUCCEEDED,
    410: GONE,
    422: INVALID_REQUEST,
    501: UNSUPPORTED,
    503: OWNER_UNAVAILABLE,
}
"""What a worker's statuses mean to clients; 409 is the answer to asking for the result of a run that has none."""

_BY_TYPE: Final = {RUN_EXPIRED.name: RUN_EXPIRED}
"""Types of workers' errors that clients of the gateway know under the same name."""


def answer(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a model as the answer; fields that were not given are left out."""
    content = model.__pydantic_serializer__.to_json(model, by_alias=True, exclude_unset=True)
    return Response(content, status, headers, "application/json")


def answer_as(
    kind: type[BaseModel], members: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return members in the shape of `kind`, which is not validated here; tests compare each answer with its schema.

    For members that workers or the log gave: a list may have a thousand rows, and a newer worker may add members. For
    the answers to submissions, events and deliveries too: there a model would cost some percent of the request.
    """
    del kind
    return Response(orjson.dumps(members), status, headers, "application/json")


def relayed(response: WorkerResponse) -> Response:
    """Return a worker's answer: a success as it is, an error under a type that clients of the gateway know."""
    if response.status < _ERROR:
        return Response(response.body, response.status, media_type="application/json")
    members = _members(response.body)
    detail = str(members.pop("detail", None) or "The worker that owns the key refuses.")
    kind = _BY_TYPE.get(str(members.get("type"))) or _BY_STATUS.get(response.status, INTERNAL)
    for name in ("type", "title", "status"):
        members.pop(name, None)
    given = response.retry_after
    retry_after = int(given) if given and given.isdigit() else None
    return kind(detail, retry_after=retry_after, **members).response()


def _members(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
