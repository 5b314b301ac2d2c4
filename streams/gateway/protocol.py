"""HTTP/1.1 by httptools, with the bounds that it lacks: how large the head of a request may be, and how slow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from asyncio import TimerHandle

HEAD_BYTES: Final = 32 * 1024
"""Bytes of request line and headers; the most that common servers take is 8 to 64 KiB."""

HEAD_PATIENCE: Final = 20.0
"""Seconds from the first byte of a request, or from the connection, to the end of its headers."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection; a head over the bounds is a 400 and the end of it."""

    _late: TimerHandle | None = None
    _head: int = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a first request."""
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_PATIENCE, self._give_up, "The request did not come in time.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._whole()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Count from here."""
        super().on_message_begin()
        self._head = 1

    def on_headers_complete(self) -> None:
        """Count no longer."""
        self._head = 0
        self._whole()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Take in what has come; most heads come whole, and cost nothing here."""
        super().data_received(data)
        if not self._head or self.transport.is_closing():
            return
        self._head += len(data)
        if self._head > HEAD_BYTES:
            self._give_up("The head of the request is too large.")
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_PATIENCE, self._give_up, "The request did not come in time.")

    def _give_up(self, why: str) -> None:
        self._whole()
        if not self.transport.is_closing():
            self.send_400_response(why)

    def _whole(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
