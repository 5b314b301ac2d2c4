"""`GET /runs/{id}/events`: a run's journal as server-sent events, resumable by the entries' `seq`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.responses import StreamingResponse

from streams.gateway.problem import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.responses import Response

    from streams.gateway.deps import Changes, Deps
    from streams.gateway.operation import Call
    from streams.gateway.runs import Runs

ALIVE_S: Final = 10.0
"""Seconds of silence after which a comment keeps proxies from closing, and the owner is asked in any case."""

_ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})
_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}


class RunEvents:
    """Streams runs: `step` and `progress` for entries, `status` for changes of it, `done` at the end."""

    def __init__(self, deps: Deps, runs: Runs) -> None:
        self._changes = deps.changes
        self._runs = runs

    async def __call__(self, call: Call) -> Response:
        """Answer with the stream; a run that nobody knows is 404 before it begins."""
        if self._changes is None:
            raise Problem("log-unavailable", "This gateway has no access to the log.", retry_after=5)
        run_id, last = call.param("id"), call.headers.get("last-event-id", "")
        found = await self._runs.view(run_id)
        seen = int(last) if last.isascii() and last.isdigit() else -1
        events = self._events(self._changes, found.pool, run_id, seen)
        return StreamingResponse(events, headers=_HEADERS, media_type="text/event-stream")

    async def _events(self, changes: Changes, pool: str, run_id: str, seen: int) -> AsyncIterator[bytes]:
        status = ""
        with changes.watch(pool, run_id) as news:
            while True:
                news.clear()
                try:
                    # the view first: what it shows as ended has all its entries in the history asked for after it
                    view = (await self._runs.view(run_id)).view
                    entries = await self._runs.entries(run_id, after=seen)
                except Problem:
                    view, entries = {"status": status}, []  # its owner is moving: the stream goes on afterwards
                for entry in entries:
                    seen = int(entry["seq"])
                    yield _event("progress" if entry.get("kind") == "progress" else "step", entry, seen)
                if view["status"] != status:
                    status = str(view["status"])
                    yield _event("status", view)
                if status in _ENDED:
                    yield _event("done", view)
                    return
                if not await _within(news, ALIVE_S):
                    yield b": alive\n\n"


def _event(name: str, data: dict[str, Any], number: int | None = None) -> bytes:
    position = b"" if number is None else b"id: %d\n" % number
    return b"%sevent: %s\ndata: %s\n\n" % (position, name.encode(), orjson.dumps(data))


async def _within(news: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await news.wait()
    except TimeoutError:
        return False
    return True
