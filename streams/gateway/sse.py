"""Server-sent events (WHATWG HTML, 9.2): how they are written, how many streams there may be, and how all end."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.responses import Response, StreamingResponse

from streams.gateway.operation import TEXT, Schema, TextAnswer
from streams.gateway.problem import BUSY

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from starlette.types import Receive, Scope, Send

    from streams.gateway.operation import OperationCall

MEDIA_TYPE: Final = "text/event-stream"
ALIVE_S: Final = 10.0
"""Seconds of silence after which a comment is sent, so that proxies do not close and lost clients are noticed."""

MOST: Final = 3_000
"""Streams that one gateway keeps open; below its connections, so that other requests find a connection."""

_EVENT: Final[Schema] = {
    "description": "Each event of the stream; its data is JSON.",
    "type": "object",
    "properties": {"id": TEXT, "event": TEXT, "data": TEXT},
}
EVENT_STREAM: Final = TextAnswer(MEDIA_TYPE, _EVENT)

_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}


class Streams:
    """The open streams of a gateway; `close` ends them all, so that a gateway that stops does not wait for readers."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._open: set[asyncio.Event] = set()
        self.closed = False

    def check(self) -> None:
        """Raise Problem 429 when no more streams can be opened."""
        if len(self._open) >= self._most:
            raise BUSY(f"{self._most} streams are open; come back later.", retry_after=5)

    @contextmanager
    def open(self, news: asyncio.Event) -> Iterator[None]:
        """Count a stream that waits for `news`, which `close` sets as well."""
        self._open.add(news)
        try:
            yield
        finally:
            self._open.discard(news)

    def close(self) -> None:
        """Let every stream end; also from a signal handler."""
        self.closed = True
        for news in list(self._open):
            news.set()


class _Stream(StreamingResponse):
    """A response whose generator is closed with it, whatever ends it: a reader that left must not be written for."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(events, headers=_HEADERS, media_type=MEDIA_TYPE)
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the generator or the reader ends."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()


def stream(call: OperationCall, events: AsyncGenerator[bytes, None]) -> Response:
    """Return the answer that sends `events`; a HEAD request has no body, so nothing is begun for it."""
    if call.method == "HEAD":
        return Response(headers=_HEADERS, media_type=MEDIA_TYPE)
    return _Stream(events)


def event(data: object, *, name: str | None = None, id: str | None = None) -> bytes:
    """Return one event; JSON has no line breaks outside of its escapes, so its data is one line."""
    lines = [b"id: " + id.encode()] if id is not None else []
    if name is not None:
        lines.append(b"event: " + name.encode())
    lines.append(b"data: " + orjson.dumps(data))
    return b"\n".join(lines) + b"\n\n"


def event_of(text: bytes, *, id: str) -> bytes:
    """Return one event whose data is JSON text already."""
    return b"id: " + id.encode() + b"\ndata: " + text + b"\n\n"


def place(id: str) -> bytes:
    """Return what moves the reader's `Last-Event-ID` on without being an event to it."""
    return b"id: " + id.encode() + b"\n\n"


async def within(news: asyncio.Event, seconds: float) -> bool:
    """Wait for news; return whether they came in time."""
    try:
        async with asyncio.timeout(seconds):
            await news.wait()
    except TimeoutError:
        return False
    return True


def last_event_id(call: OperationCall) -> str:
    """Return the id after which a reader goes on, empty for a new one."""
    found: Any = call.headers.get("last-event-id", "")
    return str(found)
