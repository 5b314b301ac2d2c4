"""`GET /runs/{id}/events`: a run's journal as server-sent events, resumable by the entries' `seq`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from streams.gateway.problem import Problem
from streams.gateway.sse import ALIVE_S, Streams, event, last_event_id, stream, within

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.responses import Response

    from streams.gateway.deps import Changes, Deps
    from streams.gateway.operation import Call
    from streams.gateway.runs import Runs

_ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})
_TALKS: Final = frozenset({"queued", "running"})
LISTEN_S: Final = 0.25
"""Seconds between two looks at what a model is saying."""


class RunEvents:
    """Streams runs: `step` and `progress` for entries, `status`, `token` for what models say, `done` at the end."""

    def __init__(self, deps: Deps, runs: Runs, streams: Streams) -> None:
        self._changes = deps.changes
        self._runs = runs
        self._streams = streams

    async def __call__(self, call: Call) -> Response:
        """Answer with the stream; a run that nobody knows is 404 before it begins."""
        if self._changes is None:
            raise Problem("log-unavailable", "This gateway has no access to the log.", retry_after=5)
        run_id, last = call.param("id"), last_event_id(call)
        self._streams.check()
        found = await self._runs.view(run_id)
        seen = int(last) if last.isascii() and last.isdigit() else -1
        return stream(call, self._events(self._changes, found.pool, run_id, seen))

    async def _events(self, changes: Changes, pool: str, run_id: str, seen: int) -> AsyncGenerator[bytes, None]:
        status, said = "", _Said()
        with changes.watch(pool, run_id) as news, self._streams.open(news):
            while not self._streams.closed:
                news.clear()
                try:
                    # the view first: what it shows as ended has all its entries in the history asked for after it
                    view = (await self._runs.view(run_id)).view
                    entries = await self._runs.entries(run_id, after=seen)
                except Problem:
                    view, entries = {"status": status}, []  # its owner is moving: the stream goes on afterwards
                for entry in entries:
                    seen = int(entry["seq"])
                    if entry.get("kind") == "progress":
                        told = {**entry, **(entry.get("output") or {}), "message": entry.get("name")}
                        yield event(told, name="progress", id=str(seen))
                    else:
                        yield event(entry, name="step", id=str(seen))
                if view["status"] != status:
                    status = str(view["status"])
                    yield event(view, name="status")
                if status in _ENDED:
                    yield event(view, name="done")
                    return
                async for piece in self._until(news, pool, run_id, said if status in _TALKS else None):
                    yield piece

    async def _until(
        self, news: asyncio.Event, pool: str, run_id: str, said: _Said | None
    ) -> AsyncGenerator[bytes, None]:
        """Wait for the journal to grow, or until it is time to say that we are alive; tell what models say meanwhile.

        Their pieces are on no log and have no id: who comes later gets the whole answer with the step.
        """
        left, step = ALIVE_S, ALIVE_S if said is None else LISTEN_S
        while left > 0:
            if said is not None:
                for piece in await self._runs.spoken(pool, run_id, said.number):
                    said.number = int(piece["number"])
                    yield event({"path": piece["path"], "text": piece["text"]}, name="token")
            if await within(news, min(step, left)):
                return
            left -= step
        yield b": alive\n\n"


class _Said:
    """Up to which piece a reader has heard a run's models."""

    number = -1
