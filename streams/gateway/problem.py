"""Every error of the gateway in one shape (RFC 9457), so that clients branch on `type` and nothing leaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from starlette.responses import Response

from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:streams:problem:"


class Kind(NamedTuple):
    """What is the same for every occurrence of a problem: its status and its title."""

    status: int
    title: str


KINDS: Final[Mapping[str, Kind]] = {
    "malformed-json": Kind(400, "The body is not JSON"),
    "malformed-request": Kind(400, "The request is malformed"),
    "unauthenticated": Kind(401, "A valid API key is needed"),
    "bad-signature": Kind(401, "The signature is missing or wrong"),
    "forbidden": Kind(403, "The API key lacks the scope"),
    "own-run": Kind(403, "Who started a run does not approve it"),
    "foreign-origin": Kind(403, "Requests from other sites are refused"),
    "not-found": Kind(404, "There is no such resource"),
    "unknown-agent": Kind(404, "There is no such agent"),
    "unknown-source": Kind(404, "There is no such source"),
    "unknown-run": Kind(404, "There is no such run"),
    "unknown-topic": Kind(404, "There is no such topic"),
    "unknown-table": Kind(404, "There is no such table"),
    "method-not-allowed": Kind(405, "The resource has no such method"),
    "slow-body": Kind(408, "The body did not arrive in time"),
    "conflict": Kind(409, "The state of the resource does not allow this"),
    "run-conflict": Kind(409, "The run exists with another agent or input"),
    "run-expired": Kind(409, "The run ended and its history was deleted"),
    "run-not-succeeded": Kind(409, "The run ended without a result"),
    "too-large": Kind(413, "The body is too large"),
    "unsupported-media-type": Kind(415, "The content type is not understood"),
    "invalid-request": Kind(422, "The request does not fit its schema"),
    "invalid-input": Kind(422, "The input does not fit the agent"),
    "invalid-event": Kind(422, "The event does not fit its schema"),
    "unknown-event-type": Kind(422, "There is no such event type"),
    "rejected": Kind(422, "The source rejected the delivery"),
    "busy": Kind(429, "Too many requests are under way"),
    "gone": Kind(410, "That is no longer known"),
    "internal": Kind(500, "The gateway failed"),
    "unsupported": Kind(501, "This version does not serve that"),
    "not-acknowledged": Kind(503, "The log did not acknowledge the write"),
    "owner-unavailable": Kind(503, "The worker that owns the key does not answer yet"),
    "log-unavailable": Kind(503, "The log cannot be read at the moment"),
}


class Problem(StreamsError):
    """Raised by handlers of the gateway; `kind` is a key of KINDS, `extra` are members for programs to read."""

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.extra = extra
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["retry-after"] = str(retry_after)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.kind].status

    def body(self) -> dict[str, Any]:
        """Return the members of the problem document."""
        kind = KINDS[self.kind]
        return {
            "type": TYPE_PREFIX + self.kind,
            "title": kind.title,
            "status": kind.status,
            "detail": self.detail,
            **self.extra,
        }

    def response(self) -> Response:
        """Return the problem as an answer."""
        return Response(orjson.dumps(self.body()), self.status, headers=self.headers, media_type=MEDIA_TYPE)


def field_errors(errors: list[Any], at: str = "") -> list[dict[str, str]]:
    """Return pydantic's errors as `{"field", "message"}`, the field as a dotted path below `at`, without the input."""
    return [
        {
            "field": ".".join(str(part) for part in ((at,) if at else ()) + tuple(error["loc"])) or "body",
            "message": error["msg"],
        }
        for error in errors
    ]
