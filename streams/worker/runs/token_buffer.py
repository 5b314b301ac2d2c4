"""The answers that models give at the moment, for watchers of a run: pieces of text, in memory for seconds."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from streams import clock

WATCHED_S: Final = 10.0  # how long one look counts as watching
MOST: Final = 5_000  # pieces that are stored of a run
STREAMED: Final = 64
"""Calls at once that are streamed although nobody watches, so that who comes while one is under way gets all of it.

A streamed call costs more than one that is answered whole: beyond this number only calls of watched runs are streamed.
"""


class TokenBuffer:
    """The tokens for the runs that somebody watches, and those that come for the first of the others."""

    def __init__(self) -> None:
        """Watch nobody; numbers begin with the time, so that those of a run which has moved here are newer."""
        self._until: dict[str, float] = {}
        self._pieces: dict[str, deque[tuple[int, str, str]]] = {}
        self._calls: Counter[str] = Counter()  # streamed and under way, by run
        self._number = itertools.count(clock.now_ms() * 1000)

    def look(self, run_id: str, after: int) -> list[dict[str, Any]]:
        """Return the pieces behind number `after`; calls that begin within the next seconds are streamed."""
        self._tidy()
        self._until[run_id] = clock.monotonic() + WATCHED_S
        pieces = self._pieces.setdefault(run_id, deque(maxlen=MOST))
        return [{"number": number, "path": path, "text": text} for number, path, text in pieces if number > after]

    @contextmanager
    def call(self, run_id: str, path: str) -> Iterator[Callable[[str], None] | None]:
        """Return what takes the pieces of a call while it is under way, None when it need not be streamed."""
        if not self._is_watched(run_id) and self._calls.total() >= STREAMED:
            yield None
            return
        self._calls[run_id] += 1

        def add_piece(text: str) -> None:
            self._pieces.setdefault(run_id, deque(maxlen=MOST)).append((next(self._number), path, text))

        try:
            yield add_piece
        finally:
            self._calls[run_id] -= 1
            if not self._calls[run_id]:
                del self._calls[run_id]
                if not self._is_watched(run_id):
                    self._pieces.pop(run_id, None)

    def _is_watched(self, run_id: str) -> bool:
        return self._until.get(run_id, float("-inf")) >= clock.monotonic()

    def _tidy(self) -> None:
        now = clock.monotonic()
        for run_id in [run_id for run_id, until in self._until.items() if until < now]:
            del self._until[run_id]
            if run_id not in self._calls:
                self._pieces.pop(run_id, None)
