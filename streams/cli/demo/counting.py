"""A proxy before the model that counts every call that reaches it: what a worker says of itself proves nothing."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import httpx

if TYPE_CHECKING:
    from types import TracebackType

DROPPED = frozenset(
    {"host", "content-length", "connection", "transfer-encoding", "content-encoding", "accept-encoding"}
)


class CountingProxy:
    """Passes OpenAI requests on to `upstream` for the length of the `with` block, and counts them by their content.

    A request that has the words of `hold` in it waits for `release`; if its sender is gone by then, it never reaches
    the model and does not count.
    """

    def __init__(self, upstream: str) -> None:
        self.calls: Counter[str] = Counter()
        self.under_way = 0
        self.held = 0
        self.undelivered = 0  # calls whose sender was gone before the answer
        self._words: bytes | None = None
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._path = urlsplit(upstream).path.rstrip("/")
        self._client = httpx.Client(base_url=upstream.removesuffix(self._path), timeout=120, trust_env=False)
        proxy = self

        class ProxyHandler(BaseHTTPRequestHandler):
            """One request."""

            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """Pass the call on."""
                proxy.forward(self)

            do_GET = do_POST  # noqa: N815 - the library's name

            def log_message(self, *_: object) -> None:
                """Log nothing: the demo counts instead."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), ProxyHandler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="model proxy", daemon=True)

    @property
    def url(self) -> str:
        """The base URL for the workers."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{self._path}"

    @property
    def total(self) -> int:
        """Calls that reached the model."""
        return self.calls.total()

    def hold(self, words: bytes) -> None:
        """Keep requests with these words in their body from the model."""
        self._released.clear()
        self._words = words

    def release(self) -> None:
        """Let what is held and what comes go on."""
        self._words = None
        self._released.set()

    def forward(self, request: BaseHTTPRequestHandler) -> None:
        """Send one request on, count it if it is a completion, and pass the answer back."""
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        if self._words is not None and self._words in body:
            self.held += 1
            self._released.wait()
            if _left(request):
                request.close_connection = True
                return
        if request.path.endswith("/chat/completions"):
            self.calls[hashlib.sha256(body).hexdigest()] += 1
        with self._lock:
            self.under_way += 1
        try:
            self._pass_on(request, body)
        finally:
            with self._lock:
                self.under_way -= 1

    def _pass_on(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in DROPPED}
        try:
            answer = self._client.request(request.command, request.path, content=body, headers=headers)
            status, content, kind = answer.status_code, answer.content, answer.headers.get("content-type", "")
        except httpx.HTTPError as error:
            status, content, kind = 502, str(error).encode(), "text/plain"
        if _left(request):
            self._no_reader(request)
            return
        try:
            request.send_response(status)
            request.send_header("content-type", kind)
            request.send_header("content-length", str(len(content)))
            request.end_headers()
            request.wfile.write(content)
        except OSError:
            self._no_reader(request)

    def _no_reader(self, request: BaseHTTPRequestHandler) -> None:
        """Count an answer that nobody reads: its worker was killed or gave the run to another one meanwhile."""
        request.close_connection = True
        if request.path.endswith("/chat/completions"):
            with self._lock:
                self.undelivered += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._client.close()


def _left(request: BaseHTTPRequestHandler) -> bool:
    """Return whether the sender has closed its end, as the system does for a process that was killed."""
    try:
        next_byte: bytes = request.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return not next_byte
