"""What models are saying at the moment, for those who watch a run: pieces of text, kept for seconds and on no log."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from streams import clock

WATCHED_S: Final = 10.0  # how long one look counts as watching
MOST: Final = 5_000  # pieces that are kept of a run


class Spoken:
    """The runs that somebody watches; calls of others are not streamed, because that costs more."""

    def __init__(self) -> None:
        """Watch nobody; numbers begin with the time, so that those of a run which has moved here are newer."""
        self._until: dict[str, float] = {}
        self._pieces: dict[str, deque[tuple[int, str, str]]] = {}
        self._number = itertools.count(clock.now_ms() * 1000)

    def look(self, run_id: str, after: int) -> list[dict[str, Any]]:
        """Return the pieces behind number `after`; calls that begin within the next seconds are streamed."""
        self._tidy()
        self._until[run_id] = clock.monotonic() + WATCHED_S
        pieces = self._pieces.setdefault(run_id, deque(maxlen=MOST))
        return [{"number": number, "path": path, "text": text} for number, path, text in pieces if number > after]

    def listener(self, run_id: str, path: str) -> Callable[[str], None] | None:
        """Return what a call tells its pieces to, None when nobody watches the run."""
        if self._until.get(run_id, float("-inf")) < clock.monotonic():
            return None
        pieces = self._pieces[run_id]
        return lambda text: pieces.append((next(self._number), path, text))

    def _tidy(self) -> None:
        now = clock.monotonic()
        for run_id in [run_id for run_id, until in self._until.items() if until < now]:
            del self._until[run_id], self._pieces[run_id]
