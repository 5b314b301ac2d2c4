"""What models are saying to the runs that are watched here: asked of each worker for all of them at once."""

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
"""Seconds between two looks."""


class TokenReader:
    """What one reader of a run has heard of its models, and what waits for it."""

    def __init__(self, news: asyncio.Event) -> None:
        self.number = -1  # of the last piece heard
        self.talks = True  # whether the run may be saying something
        self._news = news
        self._pieces: list[dict[str, Any]] = []

    def hear(self, pieces: Iterable[dict[str, Any]]) -> None:
        """Take in the pieces that are new to this reader, and wake it."""
        for piece in pieces:
            if piece["number"] > self.number:
                self.number = int(piece["number"])
                self._pieces.append(piece)
                self._news.set()

    def take(self) -> list[dict[str, Any]]:
        """Return what was heard and not yet told."""
        pieces, self._pieces = self._pieces, []
        return pieces


class TokenFanout:
    """The readers of a gateway that listen; thousands of them cost a request a worker four times a second."""

    def __init__(self, owners: Asker) -> None:
        self._owners = owners
        self._voices: dict[str, dict[str, list[TokenReader]]] = defaultdict(dict)
        self._somebody = asyncio.Event()

    @contextmanager
    def listening(self, pool: str, run_id: str, news: asyncio.Event) -> Iterator[TokenReader]:
        """Return the voice of a reader, which sets `news` when something is said."""
        voice, runs = TokenReader(news), self._voices[pool]
        runs.setdefault(run_id, []).append(voice)
        self._somebody.set()
        try:
            yield voice
        finally:
            runs[run_id].remove(voice)
            if not runs[run_id]:
                del runs[run_id]
            if not any(self._voices.values()):
                self._somebody.clear()

    async def run(self) -> None:
        """Look again and again while somebody listens, until cancelled."""
        while True:
            await self._somebody.wait()
            try:
                await self.look()
            except Exception:
                log.exception("what models say cannot be passed on")
            await asyncio.sleep(LISTEN_S)

    async def look(self) -> None:
        """Ask once; a worker that does not answer is asked again the next time."""
        for pool, runs in list(self._voices.items()):
            heard = {
                run_id: min(voice.number for voice in voices)
                for run_id, voices in runs.items()
                if any(voice.talks for voice in voices)
            }
            if not heard:
                continue
            for said in await self._owners.post_all(pool, "/owner/spoken", orjson.dumps({"runs": heard})):
                for run_id, pieces in orjson.loads(said.body)["runs"].items():
                    for voice in runs.get(run_id, ()):
                        voice.hear(pieces)
