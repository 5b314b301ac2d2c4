"""Gaps: records that retention deleted before they were read. They are lost, and somebody has to know it."""

from __future__ import annotations

import threading
from collections import Counter
from typing import NamedTuple


class RetentionGap(NamedTuple):
    """Offsets of a partition from `start` up to `end`, which is not one of them; markers of transactions count."""

    topic: str
    partition: int
    start: int
    end: int


class RetentionGaps:
    """The gaps that this worker has found; may be used from any thread."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._unreported: list[RetentionGap] = []
        self._known: set[RetentionGap] = set()
        self.offsets: Counter[str] = Counter()  # that were deleted unread, by topic

    def found(self, gap: RetentionGap) -> None:
        """Take note of a gap; one that is known is not counted again."""
        with self._lock:
            if gap not in self._known:
                self._known.add(gap)
                self._unreported.append(gap)
                self.offsets[gap.topic] += gap.end - gap.start

    def take(self) -> list[RetentionGap]:
        """Return the gaps that were not reported; whoever takes them gives back those that it could not report."""
        with self._lock:
            unreported, self._unreported = self._unreported, []
        return unreported

    def give_back(self, gap: RetentionGap) -> None:
        """Store a gap that is to be reported later."""
        with self._lock:
            self._unreported.append(gap)
