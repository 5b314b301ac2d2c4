"""Reads of runs, shared: readers of one run who lack the same are answered by one request to its owner."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.gateway.runs import RunNews, Runs


class _CoalescedRead:
    """The reads of those who lack the same."""

    def __init__(self) -> None:
        self.readers = 0
        self.begun = 0
        self.turn = asyncio.Lock()
        self.found: RunNews | None = None


class CoalescedReads:
    """The reads under way in one gateway."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._reads: dict[tuple[str, int, int], _CoalescedRead] = {}

    async def read(self, run_id: str, after: int, piece: int) -> RunNews:
        """Return what has come behind the entry `after` and the piece `piece`; Problem 404 or 503.

        The result of another reader's read counts if that read began after this one was requested: then it has all
        that this one would find.
        """
        position = (run_id, after, piece)
        one = self._reads.setdefault(position, _CoalescedRead())
        one.readers += 1
        wanted = one.begun
        try:
            async with one.turn:
                if one.begun == wanted or one.found is None:
                    one.begun += 1
                    one.found = None
                    one.found = await self._runs.news(run_id, after, piece)
                return one.found
        finally:
            one.readers -= 1
            if not one.readers:
                self._reads.pop(position, None)
