"""The first of a heap, in order, without a sort of all."""

from __future__ import annotations

import heapq

from hypothesis import given
from hypothesis import strategies as st

from streams.limits.heap_ranks import first_ranks


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(), st.booleans()), max_size=60), st.integers(0, 70))
def test_the_first_that_count_come_in_order(items: list[tuple[int, int, bool]], count: int) -> None:
    heap = list(items)
    heapq.heapify(heap)
    assert first_ranks(heap, count, lambda one: one[2]) == sorted(rank for rank, _, good in items if good)[:count]
