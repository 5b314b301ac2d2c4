"""The pieces that models stream to the runs that are watched here: one request a worker for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streams.gateway.deps import Asker

log = logging.getLogger(__name__)

LISTEN_S: Final = 0.25
"""Seconds between two fetches."""


class TokenReader:
    """The pieces of a run that one reader has received, and those that it has not taken."""

    def __init__(self, news: asyncio.Event) -> None:
        self.number = -1  # of the last piece received
        self.may_stream = True  # whether models may be streaming to the run
        self._news = news
        self._pieces: list[dict[str, Any]] = []

    def receive(self, pieces: Iterable[dict[str, Any]]) -> None:
        """Take in the pieces that are new to this reader, and wake it."""
        for piece in pieces:
            if piece["number"] > self.number:
                self.number = int(piece["number"])
                self._pieces.append(piece)
                self._news.set()

    def take(self) -> list[dict[str, Any]]:
        """Return what was received and not yet taken."""
        pieces, self._pieces = self._pieces, []
        return pieces


class TokenFanout:
    """The readers of a gateway; thousands of them cost a request a worker four times a second."""

    def __init__(self, owners: Asker) -> None:
        self._owners = owners
        self._readers: dict[str, dict[str, list[TokenReader]]] = defaultdict(dict)
        self._somebody = asyncio.Event()

    @contextmanager
    def listening(self, pool: str, run_id: str, news: asyncio.Event) -> Iterator[TokenReader]:
        """Return a reader of the run, which sets `news` when a piece comes."""
        reader, runs = TokenReader(news), self._readers[pool]
        runs.setdefault(run_id, []).append(reader)
        self._somebody.set()
        try:
            yield reader
        finally:
            runs[run_id].remove(reader)
            if not runs[run_id]:
                del runs[run_id]
            if not any(self._readers.values()):
                self._somebody.clear()

    async def run(self) -> None:
        """Fetch pieces while there are readers, until cancelled."""
        while True:
            await self._somebody.wait()
            try:
                await self.look()
            except Exception:
                log.exception("the pieces of models' answers cannot be fetched")
            await asyncio.sleep(LISTEN_S)

    async def look(self) -> None:
        """Fetch once; a worker that does not answer is asked again the next time."""
        for pool, runs in list(self._readers.items()):
            positions = {
                run_id: min(reader.number for reader in readers)
                for run_id, readers in runs.items()
                if any(reader.may_stream for reader in readers)
            }
            if not positions:
                continue
            for response in await self._owners.post_all(pool, "/owner/spoken", orjson.dumps({"runs": positions})):
                for run_id, pieces in orjson.loads(response.body)["runs"].items():
                    for reader in runs.get(run_id, ()):
                        reader.receive(pieces)
