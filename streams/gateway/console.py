"""Serves the console: static files that talk to this gateway's own API, under a policy that lets nothing else in."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from streams.gateway.operation import Operation, OperationCall, TextAnswer
from streams.gateway.problem import NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Mapping

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""Content-Security-Policy: no inline script or style, no other host, no frame, and no text that is parsed as HTML."""

_HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}
_MEDIA: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_PAGE: Final = "index.html"


class Console:
    """The files, read once: they hold nothing that is anybody's, so no key is asked for."""

    def __init__(self) -> None:
        self._files: Mapping[str, bytes] = {
            item.name: item.read_bytes()
            for item in files("streams").joinpath("console").iterdir()
            if item.name.rpartition(".")[2] in _MEDIA
        }

    async def page(self, call: OperationCall) -> Response:
        """`GET /`."""
        return self._answer(call, _PAGE)

    async def file(self, call: OperationCall) -> Response:
        """`GET /console/{file}`."""
        return self._answer(call, call.param("file"))

    def _answer(self, call: OperationCall, name: str) -> Response:
        content = self._files.get(name)
        if content is None:
            raise NOT_FOUND("The console has no such file.")
        tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
        if call.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={**_HEADERS, "etag": tag})
        media = _MEDIA[name.rpartition(".")[2]]
        return Response(content, headers={**_HEADERS, "etag": tag}, media_type=media)

    def operations(self) -> list[Operation]:
        """Return the operations of the console."""
        return [
            Operation("GET", "/", self.page, "open", "The console", {200: TextAnswer("text/html")}, tag="console"),
            Operation(
                "GET",
                "/console/{file}",
                self.file,
                "open",
                "A part of the console",
                {200: TextAnswer("*/*")},
                (NOT_FOUND,),
                tag="console",
            ),
        ]
