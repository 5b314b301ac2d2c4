"""Looks at runs, shared: readers of one run who lack the same are answered by one question to its owner."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.gateway.runs import RunNews, Runs


class _CoalescedRead:
    """The looks of those who lack the same."""

    def __init__(self) -> None:
        self.readers = 0
        self.begun = 0
        self.turn = asyncio.Lock()
        self.found: RunNews | None = None


class CoalescedReads:
    """The looks under way in one gateway."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._looks: dict[tuple[str, int, int], _CoalescedRead] = {}

    async def look(self, run_id: str, after: int, said: int) -> RunNews:
        """Return what has come behind the entry `after` and the piece `said`; Problem 404 or 503.

        What another reader's look found counts if that look began after this one was asked for: then it has all that
        this one was to find.
        """
        place = (run_id, after, said)
        look = self._looks.setdefault(place, _CoalescedRead())
        look.readers += 1
        wanted = look.begun
        try:
            async with look.turn:
                if look.begun == wanted or look.found is None:
                    look.begun += 1
                    look.found = None
                    look.found = await self._runs.news(run_id, after, said)
                return look.found
        finally:
            look.readers -= 1
            if not look.readers:
                self._looks.pop(place, None)
