"""JSON answers and problems of the worker's HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from streams.query.wire import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.runtime.assignment import PartitionAssignment


def answer(body: Any, status: int = 200) -> Response:
    """Return `body` as JSON."""
    return Response(orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS), status, media_type="application/json")


def problem(status: int, detail: str, *, type: str = "about:blank", **more: Any) -> Response:
    """Return a problem of RFC 9457; 503 asks to come back in a second."""
    body = {"type": type, "title": detail, "status": status, "detail": detail, **more}
    headers = {"retry-after": "1"} if status == 503 else None
    return Response(orjson.dumps(body), status, headers, media_type="application/problem+json")


def of(assignments: Iterable[PartitionAssignment], response: Response) -> Response:
    """Name the partitions that an answer over all of a worker's covers, so that none is missed or counted twice."""
    response.headers[PARTITIONS] = ",".join(str(one.partition) for one in assignments)
    return response
