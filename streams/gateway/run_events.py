"""`GET /runs/{id}/events`: a run's journal as server-sent events, resumable by the entries' `seq`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from schemas.run import OVER
from streams.clock import monotonic
from streams.gateway.coalesced_reads import CoalescedReads
from streams.gateway.problem import Problem
from streams.gateway.sse import ALIVE_S, Streams, event, last_event_id, stream, within
from streams.gateway.submit import wrong
from streams.gateway.token_fanout import TokenFanout, TokenReader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from starlette.responses import Response

    from streams.gateway.deps import Changes, Deps
    from streams.gateway.operation import OperationCall
    from streams.gateway.runs import RunNews, Runs

_TALKS: Final = frozenset({"queued", "running"})
_PACE_S: Final = 0.05
"""Seconds between two looks at a run that goes on all the time: what came meanwhile is told together."""

_AGAIN_S: Final = 1.0
"""Seconds after which a run is looked at again whose owner did not answer."""

_LOOK_S: Final = 60.0
"""Seconds after which a run is looked at without news: the journal is followed, so nothing should be found."""

_PIECE_BYTES: Final = 32 * 1024


class RunEvents:
    """Streams runs: `step` and `progress` for entries, `status`, `token` for what models say, `done` at the end."""

    def __init__(self, deps: Deps, runs: Runs, streams: Streams, voices: TokenFanout) -> None:
        self._changes = deps.changes
        self._runs = runs
        self._looks = CoalescedReads(runs)
        self._streams = streams
        self._voices = voices

    async def __call__(self, call: OperationCall) -> Response:
        """Answer with the stream; a run that nobody knows is 404 before it begins."""
        if self._changes is None:
            raise Problem("log-unavailable", "This gateway has no access to the log.", retry_after=5)
        run_id, last = call.param("id"), last_event_id(call)
        if last and not (last.isascii() and last.isdigit()):
            raise wrong("Last-Event-ID", "it must be the id of an event of this stream")
        self._streams.check()
        found = await self._runs.view(run_id)
        return stream(call, self._events(self._changes, found.pool, run_id, int(last[:18] or "0")))

    async def _events(self, changes: Changes, pool: str, run_id: str, seen: int) -> AsyncGenerator[bytes, None]:
        with (
            changes.watch(pool, run_id) as news,
            self._streams.open(news),
            self._voices.listening(pool, run_id, news) as voice,
        ):
            reader = _RunEventReader(seen, voice)
            while not self._streams.closed:
                news.clear()
                looked = monotonic()
                try:
                    found = await self._looks.look(run_id, reader.seen, voice.number)
                except Problem:
                    patience = _AGAIN_S  # its owner is moving: the stream goes on afterwards
                else:
                    patience = _LOOK_S
                    for told in _together(reader.told(found)):
                        yield told  # and no more before the reader has taken it
                    if reader.status in OVER:
                        return
                async for silence in _until(news, patience):
                    yield silence
                await asyncio.sleep(max(looked + _PACE_S - monotonic(), 0))


class _RunEventReader:
    """What one reader has been told."""

    def __init__(self, seen: int, voice: TokenReader) -> None:
        self.seen = seen
        self.status = ""
        self._voice = voice

    def told(self, found: RunNews) -> Iterator[bytes]:
        """Yield what is new to it: what models said, then the entries that came of it, then the run's state."""
        self._voice.hear(found.pieces)
        for piece in self._voice.take():
            yield event({"path": piece["path"], "text": piece["text"]}, name="token")
        for entry in found.entries:
            if entry["seq"] > self.seen:
                self.seen = int(entry["seq"])
                yield _told(entry)
        if found.view["status"] != self.status:
            self.status = str(found.view["status"])
            self._voice.talks = self.status in _TALKS
            yield event(found.view, name="status")
            if self.status in OVER:
                yield event(found.view, name="done")


def _together(told: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what is told in pieces of some size: one at a time would be a write to the socket for each event."""
    piece: list[bytes] = []
    size = 0
    for one in told:
        piece.append(one)
        size += len(one)
        if size > _PIECE_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)


def _told(entry: dict[str, Any]) -> bytes:
    if entry.get("kind") != "progress":
        return event(entry, name="step", id=str(entry["seq"]))
    told = {**entry, **(entry.get("output") or {}), "message": entry.get("name")}
    return event(told, name="progress", id=str(entry["seq"]))


async def _until(news: asyncio.Event, patience: float) -> AsyncGenerator[bytes, None]:
    """Wait for news, saying now and then that we are alive, for so many seconds at most."""
    left = patience
    while left > 0:
        if await within(news, min(ALIVE_S, left)):
            return
        left -= ALIVE_S
        yield b": alive\n\n"
