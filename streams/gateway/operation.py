"""One declaration an endpoint: the route, the access rule and the OpenAPI text are all made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from streams.gateway.access import ANYONE, Caller

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

Schema: TypeAlias = dict[str, Any]
Access: TypeAlias = Literal["open", "optional", "submit", "read", "approve", "admin"]
"""`open` looks at no key, `optional` leaves the decision to the handler (a signature may stand in for the key)."""


class OperationCall(Request):
    """A request with the caller that the access rule found."""

    def __init__(self, scope: Scope, receive: Receive, caller: Caller | None = ANYONE) -> None:
        super().__init__(scope, receive)
        self.caller = caller

    def param(self, name: str) -> str:
        """Return a parameter of the path."""
        return str(self.path_params[name])


Handler: TypeAlias = Callable[[OperationCall], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Param:
    """A query parameter or header as OpenAPI shows it."""

    name: str
    schema: Schema
    description: str
    where: Literal["query", "header"] = "query"


@dataclass(frozen=True, slots=True)
class Operation:
    """What answers `method` on `path`; `answers` are its successes, `problems` the kinds of its errors."""

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    access: Access
    summary: str
    answers: Mapping[int, Schema]
    problems: tuple[str, ...] = ()
    params: tuple[Param, ...] = ()
    body: Mapping[str, Schema] = field(default_factory=dict)
    body_required: bool = True
    media: str = "application/json"
    tag: str = "runs"
    streamed: bool = False
    """True where who accepts `text/event-stream` gets events as they come instead."""

    foreign: bool = False
    """True where senders are other sites and prove themselves by a signature."""
