"""Every error of the gateway in one shape (RFC 9457), so that clients branch on `type` and nothing internal leaks.

A module declares the types of the problems that it raises; those that several modules raise are declared here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.responses import Response

from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:streams:problem:"


class Problem(StreamsError):
    """Raised by handlers of the gateway; `extra` are members of the document for programs to read."""

    def __init__(
        self,
        kind: ProblemType,
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
        return self.kind.status

    def body(self) -> dict[str, Any]:
        """Return the members of the problem document."""
        kind = self.kind
        return {"type": kind.uri, "title": kind.title, "status": kind.status, "detail": self.detail, **self.extra}

    def response(self) -> Response:
        """Return the problem as an answer."""
        return Response(orjson.dumps(self.body()), self.status, headers=self.headers, media_type=MEDIA_TYPE)


@dataclass(frozen=True, slots=True)
class ProblemType:
    """What is the same for every occurrence of a problem; a call makes the problem that is raised."""

    name: str
    status: int
    title: str

    @property
    def uri(self) -> str:
        """The member `type` of the document."""
        return TYPE_PREFIX + self.name

    def __call__(
        self,
        detail: str,
        *,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> Problem:
        """Return the problem; `extra` are members of the document."""
        return Problem(self, detail, retry_after=retry_after, headers=headers, **extra)


MALFORMED_REQUEST: Final = ProblemType("malformed-request", 400, "The request is malformed")
NOT_FOUND: Final = ProblemType("not-found", 404, "There is no such resource")
METHOD_NOT_ALLOWED: Final = ProblemType("method-not-allowed", 405, "The resource has no such method")
CONFLICT: Final = ProblemType("conflict", 409, "The state of the resource does not allow this")
INVALID_REQUEST: Final = ProblemType("invalid-request", 422, "The request does not fit its schema")
INVALID_EVENT: Final = ProblemType("invalid-event", 422, "The event does not fit its schema")
BUSY: Final = ProblemType("busy", 429, "Too many requests are under way")
INTERNAL: Final = ProblemType("internal", 500, "The gateway failed")
OWNER_UNAVAILABLE: Final = ProblemType("owner-unavailable", 503, "The worker that owns the key does not answer yet")
LOG_UNAVAILABLE: Final = ProblemType("log-unavailable", 503, "The log cannot be read at the moment")


def invalid_request(name: str, message: str) -> Problem:
    """Return the 422 that names a member of the request."""
    return INVALID_REQUEST(f"{name}: {message}."[:500], errors=[{"field": name[:200], "message": message}])


def field_errors(errors: list[Any], at: str = "") -> list[dict[str, str]]:
    """Return pydantic's errors as `{"field", "message"}`, the field as a dotted path below `at`, without the input."""
    return [
        {
            "field": ".".join(str(part) for part in ((at,) if at else ()) + tuple(error["loc"])) or "body",
            "message": error["msg"],
        }
        for error in errors
    ]
