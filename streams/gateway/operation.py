"""One declaration an endpoint: the route, the access rule and the OpenAPI text are all made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from schemas.attributes import new_id
from streams.engine.ids import derived
from streams.gateway.access import ANYONE, Caller
from streams.gateway.ids import check_key

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

    from streams.gateway.problem import ProblemType

Schema: TypeAlias = dict[str, Any]
Access: TypeAlias = Literal["open", "optional", "submit", "read", "approve", "admin"]
"""`open` looks at no key, `optional` leaves the decision to the handler (a signature may stand in for the key)."""

Body: TypeAlias = Mapping[str, Schema]
"""The schema of a request's body by media type."""

JSON: Final = "application/json"
TEXT: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}
NO_MEMBERS: Final[Body] = {JSON: {"type": "object", "additionalProperties": False}}
"""A body that is absent or an empty object."""


class OperationCall(Request):
    """A request with the caller that the access rule found."""

    def __init__(self, scope: Scope, receive: Receive, caller: Caller | None = ANYONE) -> None:
        super().__init__(scope, receive)
        self.caller = caller

    def param(self, name: str) -> str:
        """Return a parameter of the path."""
        return str(self.path_params[name])

    @property
    def caller_name(self) -> str:
        """Return the name of the caller's key, an empty text without one."""
        return self.caller.name if self.caller else ""

    @property
    def idempotency_key(self) -> str | None:
        """Return the Idempotency-Key if one was sent; Problem 400 for a wrong one."""
        return check_key(self.headers.get("idempotency-key"))

    def request_id(self, *parts: str) -> str:
        """Return an id for the request, with an idempotency key the same for a repeat; `parts` say what it is for."""
        key = self.idempotency_key
        return new_id() if key is None else derived("i-", self.caller_name, *parts, key)


Handler: TypeAlias = Callable[[OperationCall], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Param:
    """A query parameter or header as OpenAPI shows it."""

    name: str
    schema: Schema
    description: str
    where: Literal["query", "header"] = "query"


IDEMPOTENCY_KEY: Final = Param(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255},
    "a repeat with the same key changes nothing more",
    "header",
)


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """An answer that is not JSON: its media type, and the schema of each event of a stream."""

    media: str
    event: Schema | None = None


Answer: TypeAlias = type[BaseModel] | TextAnswer | tuple[type[BaseModel] | TextAnswer, ...]
"""What a status answers; of several the request chooses one."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What answers `method` on `path`: its answers by status, and the types of problems that it raises.

    Problems that every operation can have (keys, origins, load, failures) are added to the document without being
    named here.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    access: Access
    summary: str
    answers: Mapping[int, Answer]
    problems: tuple[ProblemType, ...] = ()
    params: tuple[Param, ...] = ()
    body: Body = field(default_factory=dict)
    body_required: bool = True
    tag: str = "runs"
    foreign: bool = False
    """True where senders are other sites and prove themselves by a signature."""


class Resource(Protocol):
    """Handlers of a resource, with the declaration of each."""

    def operations(self) -> list[Operation]:
        """Return the operations of the resource."""
        ...
