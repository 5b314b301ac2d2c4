"""A model endpoint that answers every call after a wait, at so little cost that it does not slow what it measures.

It runs in a process of its own: bytes of the answer are made once, requests are not parsed beyond their length.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

ANSWER = "y" * 1_500
_BODY = orjson.dumps(
    {
        "model": "m",
        "choices": [{"message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 400},
    }
)
REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
_LENGTH = b"content-length:"


class Endpoint(asyncio.Protocol):
    """One connection: a request, a wait, an answer, and again."""

    def __init__(self, wait: float) -> None:
        self._wait = wait
        self._seen = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = transport  # type: ignore[assignment]  # a stream's transport

    def data_received(self, data: bytes) -> None:
        """Begin the wait once a request is whole."""
        self._seen += data
        head = self._seen.find(b"\r\n\r\n")
        if head < 0:
            return
        headers = bytes(self._seen[:head]).lower()
        at = headers.find(_LENGTH)
        length = int(headers[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._seen) >= head + 4 + length:
            del self._seen[: head + 4 + length]
            asyncio.get_running_loop().call_later(self._wait, self._answer)

    def _answer(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(REPLY)


def serve(wait: float, ready: Connection) -> None:
    """Answer until killed."""
    more_files()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Endpoint(wait), "127.0.0.1", 0, backlog=65_535)
        ready.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(run())


def more_files() -> None:
    """Allow this process and its children as many open connections as the system lets them have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def endpoint(wait: float) -> Iterator[int]:
    """Run the endpoint and give its port."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(wait, there), daemon=True)
    server.start()
    try:
        yield here.recv()
    finally:
        server.kill()
