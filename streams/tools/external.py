"""The tool that calls somebody's HTTP API for an agent."""

from __future__ import annotations

from typing import Any, Literal

import orjson
from pydantic import BaseModel, HttpUrl

from streams import Breaker, Rate, RetryPolicy, tool
from streams.telemetry import redact
from streams.tools._call import IDEMPOTENCY_KEY
from streams.tools.charset import decoded
from streams.tools.errors import FetchRefusedError
from streams.tools.exchange import ExchangeLimits
from streams.tools.fetching import fetch
from streams.tools.outcome import require_success

LIMITS = ExchangeLimits(max_bytes=700_000, seconds=25.0)  # an answer and its record are one message on the log
HOP_BY_HOP = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect"}
)


class ApiAnswer(BaseModel):
    """What the API answered: `data` is parsed JSON, or the text if it sent something else."""

    url: str
    status: int
    content_type: str
    data: Any


@tool(
    rate=Rate(30, 60.0, host="url"),
    timeout=30,
    retry=RetryPolicy(attempts=3),
    breaker=Breaker(failures=5, cooldown=60, per="url"),
)
async def call_external_api(
    url: HttpUrl,
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET",
    data: Any = None,
    headers: dict[str, str] | None = None,
) -> ApiAnswer:
    """Call a public HTTP API and return its JSON or text; `data` is sent as JSON.

    A changing call carries the step's idempotency key, the same in every attempt.
    """
    sent = {"Accept": "application/json, text/*;q=0.9, */*;q=0.1", **(headers or {})}
    refused = [
        name for name in sent if name.lower() in HOP_BY_HOP or "\n" in name + sent[name] or "\r" in name + sent[name]
    ]
    if refused:
        raise FetchRefusedError(f"The headers {', '.join(refused)} cannot be set by a caller.")
    key = IDEMPOTENCY_KEY.get()
    if method != "GET" and key is not None:
        sent.setdefault("Idempotency-Key", key)
    body = None
    if data is not None:
        body = orjson.dumps(data)
        sent["Content-Type"] = "application/json"
    answer = await fetch(str(url), method=method, headers=sent, body=body, limits=LIMITS)
    require_success(answer)
    text = decoded(answer.body, answer.headers.get("content-type", ""))
    return ApiAnswer(
        url=redact(answer.url),
        status=answer.status,
        content_type=answer.content_type,
        data=_parsed(text, answer.content_type),
    )


def _parsed(text: str, content_type: str) -> Any:
    if not (content_type.endswith(("/json", "+json")) or content_type == ""):
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
