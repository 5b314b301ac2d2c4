"""Answers in JSON, and a worker's words passed on unread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from starlette.responses import Response

from streams.gateway.problem import MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.query.owners import Answer

_ERROR = 400


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer."""
    return Response(orjson.dumps(value), status, headers, "application/json")


def passed_on(said: Answer) -> Response:
    """Return what a worker said, as it said it."""
    headers = {"retry-after": said.retry_after} if said.retry_after else None
    return Response(said.body, said.status, headers, MEDIA_TYPE if said.status >= _ERROR else "application/json")
