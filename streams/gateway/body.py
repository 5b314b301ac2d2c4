"""Bodies are counted while they stream in, because a Content-Length may lie or be absent."""

from __future__ import annotations

import asyncio
import gzip
import io
import zlib
from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.requests import ClientDisconnect

from schemas.json_text import parse_json
from streams.gateway.patience import within
from streams.gateway.problem import MALFORMED_REQUEST, Problem, ProblemType, invalid_request

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive

    from streams.gateway.operation import OperationCall
    from streams.gateway.unverified_bodies import Share

MALFORMED_JSON: Final = ProblemType("malformed-json", 400, "The body is not JSON")
SLOW_BODY: Final = ProblemType("slow-body", 408, "The body did not arrive in time")
TOO_LARGE: Final = ProblemType("too-large", 413, "The body is too large")
UNSUPPORTED_MEDIA_TYPE: Final = ProblemType("unsupported-media-type", 415, "The content type is not understood")
BODY_PROBLEMS: Final = (MALFORMED_JSON, MALFORMED_REQUEST, SLOW_BODY, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE)
"""What an operation that reads a body can answer."""

CAP: Final = 1 << 20
"""Bytes that a body may have unless its handler sets another cap."""

PATIENCE: Final = 20.0
"""Seconds that a sender has for the whole body, so that one byte a second holds nothing for long."""

_DRAIN: Final = 32 << 20
"""Bytes over the cap that are still read and dropped: closing during the body would reset the connection, and the
sender would see the reset instead of the 413."""

_CODINGS: Final = ("gzip", "x-gzip", "deflate")
"""Content codings that are undone (RFC 9110, 8.4.1)."""

_ACCEPTED: Final = {"accept-encoding": "gzip, deflate"}

_CLOSE: Final = {"connection": "close"}


async def content(request: Request, cap: int = CAP) -> bytes:
    """Return the body without its content coding; Problems as `read` and `decoded`."""
    return await decoded(request, await read(request, cap), cap)


async def decoded(request: Request, raw: bytes, cap: int = CAP) -> bytes:
    """Return a raw body without its content coding; in a thread, as it may be long (RFC 9110, 8.4).

    Problem 415 for codings other than gzip and deflate, and for several; 400 for a body that has not the coding;
    413 when it is over the cap without it, of which no more is made.
    """
    coding = request.headers.get("content-encoding", "").strip().lower()
    if not raw or coding in ("", "identity"):
        return raw
    if coding not in _CODINGS:
        raise UNSUPPORTED_MEDIA_TYPE("The content coding must be gzip or deflate.", headers=_ACCEPTED)
    return await asyncio.to_thread(_inflated, raw, coding, cap)


def _inflated(raw: bytes, coding: str, cap: int) -> bytes:
    """Undo the coding, of at most `cap` bytes; a gzip body may have several members (RFC 1952, 2.2)."""
    try:
        if coding == "deflate":
            stream = zlib.decompressobj()
            found = stream.decompress(raw, cap + 1)
            whole = stream.eof and not stream.unused_data
        else:
            found, whole = gzip.GzipFile(fileobj=io.BytesIO(raw)).read(cap + 1), True
    except (OSError, EOFError, zlib.error):
        found, whole = b"", False
    if len(found) > cap:
        raise _too_large(cap)
    if not whole:
        raise MALFORMED_REQUEST("The body has not the coding that Content-Encoding names.")
    return found


async def read(request: Request, cap: int = CAP, patience: float = PATIENCE, *, share: Share | None = None) -> bytes:
    """Return the body as it came; Problem 413 when more than `cap` bytes came, 408 after `patience` seconds.

    `share` is the budget of a body that is not verified: Problem 429 when it is used up. It is released at the end.
    """
    declared = request.headers.get("content-length", "")
    over = declared.isdigit() and int(declared) > cap
    if over and ("expect" in request.headers or int(declared) > cap + _DRAIN):
        raise _too_large(cap)
    chunks = _Chunks(request.receive, cap, over, share)
    try:
        await within(patience, chunks.all())
    except TimeoutError:
        raise SLOW_BODY(f"The body took longer than {patience:g} s; send it faster.", headers=_CLOSE) from None
    finally:
        if share is not None:
            share.release()
    if chunks.size > cap or over:
        raise _too_large(cap)
    return chunks.received[0] if len(chunks.received) == 1 else b"".join(chunks.received)


class _Chunks:
    """The part of a body that has arrived: stored up to the cap, dropped beyond it."""

    def __init__(self, receive: Receive, cap: int, over: bool, share: Share | None) -> None:
        self.size = 0
        self.received: list[bytes] = []
        self._receive = receive
        self._cap = cap
        self._over = over
        self._share = share

    async def all(self) -> None:
        """Take everything in; ClientDisconnect when the sender goes away."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            chunk, more = message.get("body", b""), message.get("more_body", False)
            self.size += len(chunk)
            if self.size > self._cap + _DRAIN:
                raise _too_large(self._cap)
            if self._over or self.size > self._cap:
                self.received.clear()
                if self._share is not None:
                    self._share.release()
            elif chunk:
                if self._share is not None:
                    self._share.take(len(chunk))
                self.received.append(chunk)


def parse(body: bytes) -> Any:
    """Return the JSON value of a body; Problem 400 when it is none."""
    try:
        return parse_json(body)
    except orjson.JSONDecodeError as error:
        raise MALFORMED_JSON(f"The body is not JSON: {error.msg} at character {error.pos}.") from None


def dump(value: object) -> bytes:
    """Return parsed JSON as bytes again; Problem 400 when it nests deeper than readers of the log bear."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise MALFORMED_JSON("The body nests too deeply; 250 levels are the limit.") from None


def _too_large(cap: int) -> Problem:
    return TOO_LARGE(f"The body is over the cap of {cap} bytes.", headers=_CLOSE)


async def optional_body(call: OperationCall, *members: str) -> dict[str, Any]:
    """Return the object in a body that may be absent; Problem 422 for members other than these."""
    raw = await content(call)
    body = parse(raw) if raw.strip() else {}
    if not isinstance(body, dict):
        raise invalid_request("body", "it must be an object, or nothing")
    for name in body:
        if name not in members:
            raise invalid_request(name, f"it is not known here; {', '.join(members) or 'no member'} may be given")
    return body
