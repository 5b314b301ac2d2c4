"""The first of a heap, without taking them off; pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T", bound=tuple[Any, ...])


def first_ranks(heap: Sequence[T], count: int, counts: Callable[[T], bool]) -> list[int]:
    """Return the first fields of the `count` smallest items that count, in order.

    A child in a heap is never smaller than its parent, so only the children of what was taken are looked at: the cost
    grows with what is taken, not with the length of the heap.
    """
    found: list[int] = []
    frontier: list[tuple[T, int]] = [(heap[0], 0)] if heap else []
    while frontier and len(found) < count:
        item, at = heapq.heappop(frontier)
        if counts(item):
            found.append(item[0])
        for child in (2 * at + 1, 2 * at + 2):
            if child < len(heap):
                heapq.heappush(frontier, (heap[child], child))
    return found
