"""Two web pages on loopback that count who asks for them; the second can be slow, as pages in the world are."""

from __future__ import annotations

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

HANDBOOK = "/handbook/retries.html"
REPORT = "/reports/outage.html"
PAGES = {HANDBOOK: "retries.html", REPORT: "outage.html"}
LONGEST = 60.0
"""Seconds after which a held page is answered anyway, so that nobody hangs on a demo that failed."""


class Pages:
    """Serves the pages for the length of the `with` block."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.released = threading.Event()
        pages = self

        class PageHandler(BaseHTTPRequestHandler):
            """One request."""

            def do_GET(self) -> None:
                """Answer with a page, or 404."""
                pages.answer(self)

            def log_message(self, *_: object) -> None:
                """Log nothing: the demo counts instead."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), PageHandler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="pages", daemon=True)

    @property
    def host(self) -> str:
        """Host and port, as a URL and the setting FETCH_ALLOW have them."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def url(self, path: str) -> str:
        """Return the URL of a page."""
        return f"http://{self.host}{path}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Count the request and answer it; the report only once it is released."""
        path = request.path.partition("?")[0]
        if path not in PAGES:
            request.send_error(404)
            return
        self.requests[path] += 1
        if path == REPORT:
            self.released.wait(LONGEST)
        body = files("streams.cli.demo").joinpath("html", PAGES[path]).read_bytes()
        try:
            request.send_response(200)
            request.send_header("content-type", "text/html; charset=utf-8")
            request.send_header("content-length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)
        except OSError:  # who asked was killed meanwhile
            request.close_connection = True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
