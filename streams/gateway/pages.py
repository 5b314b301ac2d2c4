"""Lists over all workers: each answers its part in order, the gateway merges them, and a cursor names the last item."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import orjson

from streams.gateway.operation import TEXT, Param
from streams.gateway.problem import NOT_FOUND, invalid_request
from streams.gateway.runs import silent
from streams.query.owners import OwnerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.gateway.deps import Asker
    from streams.gateway.operation import OperationCall
    from streams.query.wire import WorkerResponse

_DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1_000
LIMIT: Final = Param("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}, "how many at most")
CURSOR: Final = Param("cursor", TEXT, "next of the answer before")
_OK: Final = 200
_NOT_FOUND: Final = 404


def texts(*names: str) -> tuple[Param, ...]:
    """Return query parameters that filter."""
    return tuple(Param(name, TEXT, f"only those with this {name}") for name in names)


def check_names(call: OperationCall, *known: str) -> None:
    """Raise Problem 422 for a parameter that does not exist: a misspelt filter would answer with everything."""
    for name in call.query_params:
        if name not in known:
            raise invalid_request(name, f"there is no such parameter; there are {', '.join(known)}")


def limit_of(call: OperationCall, default: int = _DEFAULT_LIMIT) -> int:
    """Return the query's `limit`; Problem 422 unless it is 1 to MAX_LIMIT."""
    text = call.query_params.get("limit")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_LIMIT):
        raise invalid_request("limit", f"it must be a number from 1 to {MAX_LIMIT}")
    return int(text)


def cursor_of(call: OperationCall) -> str | None:
    """Return the position that the query's `cursor` stands for; Problem 422 when it is none of ours."""
    text = call.query_params.get("cursor")
    if text is None:
        return None
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid_request("cursor", "it must be one that an earlier answer gave as next") from None


def cursor(position: str) -> str:
    """Return a position as an opaque cursor."""
    return base64.urlsafe_b64encode(position.encode()).rstrip(b"=").decode()


async def rows_of(owners: Asker, pool: str, name: str) -> list[dict[str, Any]]:
    """Return the rows `name` of the workers of a pool that answer `/owner/NAME`; nothing while a part has no worker."""
    try:
        responses = await owners.ask_all(pool, f"/owner/{name}")
    except OwnerUnavailableError:
        return []
    return [row for one in responses if one.status == _OK for row in orjson.loads(one.body)[name]]


async def gather(
    owners: Asker, pools: Sequence[str], path: str, query: dict[str, str | int | None]
) -> list[dict[str, Any]]:
    """Return the parts of all live workers of the pools; Problem 503 when a part of the keys has no answer now."""
    text = urlencode({name: value for name, value in query.items() if value is not None})
    parts: list[dict[str, Any]] = []
    for pool in pools:
        try:
            responses = await owners.ask_all(pool, f"{path}?{text}")
        except OwnerUnavailableError as error:
            raise silent(error) from error
        parts += [_part(response) for response in responses]
    return parts


def merged(
    parts: Sequence[dict[str, Any]],
    name: str,
    order: Callable[[dict[str, Any]], Any],
    limit: int,
    *,
    newest_first: bool = False,
) -> tuple[list[dict[str, Any]], bool]:
    """Return the first `limit` items of all parts in order, and whether there are more."""
    items = sorted((item for part in parts for item in part[name]), key=order, reverse=newest_first)
    more = len(items) > limit or any(part.get("next") for part in parts)
    return items[:limit], more and bool(items)


def _part(response: WorkerResponse) -> dict[str, Any]:
    if response.status == _OK:
        part: dict[str, Any] = orjson.loads(response.body)
        return part
    if response.status == _NOT_FOUND:
        raise NOT_FOUND("The workers know nothing by that name.")
    message = f"a worker answered {response.status} to a list"
    raise RuntimeError(message)
