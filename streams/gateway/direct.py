"""The shortest way to an endpoint: what is served under a fixed path, or one with a last part, is found by its name.

Endpoints answer every request themselves, errors included, so that Starlette's layers have nothing to add; all other
paths go through them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send


class Direct(Starlette):
    """Starlette that finds `/events` and `/webhooks/{source}` without trying routes in order."""

    def __init__(self, endpoints: Mapping[str, ASGIApp], **more: Any) -> None:
        """Serve `endpoints` by their paths; those with other places than one last part are left to the routes."""
        super().__init__(**more)
        self._fixed = {path: endpoint for path, endpoint in endpoints.items() if "{" not in path}
        self._named: dict[str, tuple[str, ASGIApp]] = {}
        for path, endpoint in endpoints.items():
            parent, _, last = path.rpartition("/")
            if last.startswith("{") and ":" not in last and "{" not in parent:
                self._named[parent] = (last.strip("{}"), endpoint)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the start and the stop of the server."""
        if scope["type"] == "http" and not scope.get("root_path"):
            path: str = scope["path"]
            if (endpoint := self._fixed.get(path)) is not None:
                await endpoint(scope, receive, send)
                return
            parent, _, last = path.rpartition("/")
            if last and (named := self._named.get(parent)) is not None:
                scope["path_params"] = {named[0]: last}
                await named[1](scope, receive, send)
                return
        await super().__call__(scope, receive, send)
