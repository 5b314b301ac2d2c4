"""`GET /runs/{id}/events`: a run's journal as server-sent events, resumable by the entries' `seq`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from schemas.run import OVER
from streams.clock import monotonic
from streams.gateway.coalesced_reads import CoalescedReads
from streams.gateway.operation import Operation, Param
from streams.gateway.problem import BUSY, INVALID_REQUEST, LOG_UNAVAILABLE, Problem, invalid_request
from streams.gateway.runs import READ_PROBLEMS
from streams.gateway.sse import ALIVE_S, EVENT_STREAM, Streams, event, last_event_id, stream, within
from streams.gateway.token_fanout import TokenFanout, TokenReader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from starlette.responses import Response

    from streams.gateway.deps import Changes, Deps
    from streams.gateway.operation import OperationCall
    from streams.gateway.runs import RunNews, Runs

_MAY_STREAM: Final = frozenset({"queued", "running"})
_PACE_S: Final = 0.05
"""Seconds between two reads of a run that changes all the time: what came meanwhile is sent together."""

_AGAIN_S: Final = 1.0
"""Seconds after which a run is read again whose owner did not answer."""

_LOOK_S: Final = 60.0
"""Seconds after which a run is read without news: the journal is followed, so nothing should be found."""

_PIECE_BYTES: Final = 32 * 1024


class RunEvents:
    """Streams runs: `step` and `progress` for entries, `status`, `token` for models' answers, `done` at the end."""

    def __init__(self, deps: Deps, runs: Runs, streams: Streams, fanout: TokenFanout) -> None:
        self._changes = deps.changes
        self._runs = runs
        self._reads = CoalescedReads(runs)
        self._streams = streams
        self._fanout = fanout

    async def __call__(self, call: OperationCall) -> Response:
        """Answer with the stream; a run that nobody knows is 404 before it begins."""
        if self._changes is None:
            raise LOG_UNAVAILABLE("This gateway has no access to the log.", retry_after=5)
        run_id, last = call.param("id"), last_event_id(call)
        if last and not (last.isascii() and last.isdigit()):
            raise invalid_request("Last-Event-ID", "it must be the id of an event of this stream")
        self._streams.check()
        found = await self._runs.view(run_id)
        return stream(call, self._events(self._changes, found.pool, run_id, int(last[:18] or "0")))

    async def _events(self, changes: Changes, pool: str, run_id: str, seen: int) -> AsyncGenerator[bytes, None]:
        with (
            changes.watch(pool, run_id) as news,
            self._streams.open(news),
            self._fanout.listening(pool, run_id, news) as tokens,
        ):
            reader = _RunEventReader(seen, tokens)
            while not self._streams.closed:
                news.clear()
                began = monotonic()
                try:
                    found = await self._reads.read(run_id, reader.seen, tokens.number)
                except Problem:
                    patience = _AGAIN_S  # its owner is moving: the stream goes on afterwards
                else:
                    patience = _LOOK_S
                    for block in _blocks(reader.events(found)):
                        yield block  # and no more before the reader has taken it
                    if reader.status in OVER:
                        return
                async for silence in _until(news, patience):
                    yield silence
                await asyncio.sleep(max(began + _PACE_S - monotonic(), 0))

    def operations(self) -> list[Operation]:
        """Return the operation that streams a run."""
        resume = Param(
            "Last-Event-ID",
            {"type": "string", "pattern": "^[0-9]*$"},
            "the id of the last event that was seen",
            "header",
        )
        return [
            Operation(
                "GET",
                "/runs/{id}/events",
                self,
                "read",
                "A run's events as they come",
                {200: EVENT_STREAM},
                (*READ_PROBLEMS, INVALID_REQUEST, LOG_UNAVAILABLE, BUSY),
                (resume,),
            )
        ]


class _RunEventReader:
    """What one reader has been sent."""

    def __init__(self, seen: int, tokens: TokenReader) -> None:
        self.seen = seen
        self.status = ""
        self._tokens = tokens

    def events(self, found: RunNews) -> Iterator[bytes]:
        """Yield what is new to it: pieces of models' answers, then the entries of the journal, then the run's state."""
        self._tokens.receive(found.pieces)
        for piece in self._tokens.take():
            yield event({"path": piece["path"], "text": piece["text"]}, name="token")
        for entry in found.entries:
            if entry["seq"] > self.seen:
                self.seen = int(entry["seq"])
                yield _entry_event(entry)
        if found.view["status"] != self.status:
            self.status = str(found.view["status"])
            self._tokens.may_stream = self.status in _MAY_STREAM
            yield event(found.view, name="status")
            if self.status in OVER:
                yield event(found.view, name="done")


def _blocks(events: Iterator[bytes]) -> Iterator[bytes]:
    """Yield events in blocks of some size: one at a time would be a write to the socket for each event."""
    piece: list[bytes] = []
    size = 0
    for one in events:
        piece.append(one)
        size += len(one)
        if size > _PIECE_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)


def _entry_event(entry: dict[str, Any]) -> bytes:
    if entry.get("kind") != "progress":
        return event(entry, name="step", id=str(entry["seq"]))
    progress = {**entry, **(entry.get("output") or {}), "message": entry.get("name")}
    return event(progress, name="progress", id=str(entry["seq"]))


async def _until(news: asyncio.Event, patience: float) -> AsyncGenerator[bytes, None]:
    """Wait for news, sending a comment now and then, for so many seconds at most."""
    left = patience
    while left > 0:
        if await within(news, min(ALIVE_S, left)):
            return
        left -= ALIVE_S
        yield b": alive\n\n"
