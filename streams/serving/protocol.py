"""HTTP/1.1 by httptools, with the bounds that it lacks: bytes and seconds of a message, connections of an address."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from asyncio import TimerHandle

HEAD_BYTES: Final = 32 * 1024
"""Bytes of request line and headers, and of all that is not body after them: chunk extensions and trailers."""

HEAD_PATIENCE: Final = 20.0
"""Seconds from the first byte of a request, or from the connection, to the end of its headers."""

BODY_PATIENCE: Final = 30.0
"""Seconds from the end of the headers to the end of the message; handlers that read a body have a shorter bound."""

LINGER_S: Final = 5.0
"""Seconds for which the rest of a request is read and dropped after its answer: a close would reset the connection,
and the sender would see that instead of the answer (RFC 9112, 9.6)."""

PER_ADDRESS: Final = 1_024
"""Connections that one address may hold, so that it cannot take all of a server's."""


class Addresses:
    """Counts the connections of each address."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Count a connection; False when the address has as many as it may."""
        if self._open[address] >= self._limit:
            return False
        self._open[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Count a connection no more."""
        self._open[address] -= 1
        if self._open[address] <= 0:
            del self._open[address]


class BoundedProtocol(HttpToolsProtocol):
    """One connection. What goes over the bounds gets a 400 and the end of the connection."""

    addresses: ClassVar[Addresses] = Addresses(PER_ADDRESS)

    _timer: TimerHandle | None = None
    _counted: str | None = None  # the address under which this connection is counted
    _unfinished: bool = False  # a message has begun and not ended
    _in_head: bool = False
    _moved: bool = False  # the data at hand ended a head, or brought bytes of a body
    _beside: int = 0  # bytes since the last of a body
    _lingers: bool = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a first request; one address too many gets a 503."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if not self.addresses.enter(address):
            transport.write(_CROWDED)
            transport.close()
            return
        self._counted = address
        self._within(HEAD_PATIENCE)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_timer()
        if self._counted is not None:
            self.addresses.leave(self._counted)
            self._counted = None
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Count from here."""
        super().on_message_begin()
        self._unfinished = self._in_head = True
        self._beside = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers are dropped, as RFC 9110 (6.5.1) allows, because nothing here may depend on them."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin with the body."""
        self._in_head = False
        self._moved = True
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Count no longer."""
        self._unfinished = False
        self._stop_timer()
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Take in what has come; most requests come whole, and cost nothing here."""
        if self._lingers or self.transport.is_closing():
            return
        self._moved = False
        super().data_received(data)
        if self.transport.is_closing():
            return
        if not self._unfinished:
            # empty lines between requests end the keep-alive timer of uvicorn and begin no message
            idle = self.cycle is None or self.cycle.response_complete
            if idle and self._timer is None and self.timeout_keep_alive_task is None:
                self._within(HEAD_PATIENCE)
            return
        self._beside = 0 if self._moved else self._beside + len(data)
        if self._beside > HEAD_BYTES:
            self.send_400_response("The head of the request is too large.")
        elif self._timer is None:
            self._within(HEAD_PATIENCE if self._in_head else BODY_PATIENCE)

    def on_response_complete(self) -> None:
        """End the connection when the answer came before the end of the request."""
        early = not self.pipeline and self.cycle.more_body
        super().on_response_complete()
        if early and not self.transport.is_closing():
            self._linger()

    def send_400_response(self, msg: str) -> None:
        """Refuse, unless that would be read as the answer to another request, or as a part of one."""
        self._stop_timer()
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if answering and (cycle.response_started or not cycle.more_body):
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _linger(self) -> None:
        self._lingers = True
        self._unset_keepalive_if_required()
        self._stop_timer()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_S, self.transport.close)

    def _within(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        if not self.transport.is_closing():
            self.send_400_response("The request did not come in time.")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def bounded(per_address: int) -> type[BoundedProtocol]:
    """Return the protocol for one server, which counts connections by itself."""

    class Bounded(BoundedProtocol):
        addresses = Addresses(per_address)

    return Bounded


_BUSY: Final = b'{"type":"urn:streams:problem:busy","title":"Too many connections from this address","status":503}'
_CROWDED: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n"
    b"connection: close\r\ncontent-length: " + str(len(_BUSY)).encode() + b"\r\n\r\n" + _BUSY
)
