"""Permits: never more than there are, the lowest rank of all workers is next, what a dead worker held comes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.limits.permits import LEASE_S, PermitAllocator


def test_no_more_is_given_than_is_free() -> None:
    slots = PermitAllocator()
    assert slots.want("a", [1, 2, 3], 2, 0.0) == 2
    assert slots.want("b", [0], 2, 0.0) == 0


def test_what_is_told_as_held_counts_even_beyond_the_size() -> None:
    slots = PermitAllocator()
    slots.report_held("a", 3, 0.0)
    assert slots.want("b", [1], 2, 0.0) == 0
    assert slots.used(0.0) == 3


def test_the_next_word_frees_what_is_not_held_any_more() -> None:
    slots = PermitAllocator()
    slots.want("a", [1, 2], 2, 0.0)
    slots.want("b", [3], 2, 0.0)
    slots.report_held("a", 1, 1.0)
    assert list(slots.to_call(2, 1.0)) == ["b"]
    assert slots.want("b", [3], 2, 1.0) == 1


def test_what_a_worker_held_and_waited_for_is_released_when_it_is_gone() -> None:
    slots = PermitAllocator()
    slots.want("dead", [1, 2], 1, 0.0)
    assert slots.want("b", [3], 1, 0.1) == 0
    assert slots.left("dead")
    assert not slots.left("dead")
    assert list(slots.to_call(1, 0.2)) == ["b"]
    assert slots.want("b", [3], 1, 0.2) == 1


def test_a_lease_that_nobody_renews_ends_by_its_time() -> None:
    slots = PermitAllocator()
    slots.want("a", [1], 1, 0.0)
    assert slots.want("b", [2], 1, LEASE_S - 0.1) == 0
    assert slots.want("b", [2], 1, LEASE_S + 0.1) == 1


def test_the_lowest_rank_is_next_wherever_it_waits() -> None:
    slots = PermitAllocator()
    slots.want("a", [1], 1, 0.0)
    assert slots.want("b", [5], 1, 0.0) == 0
    slots.report_held("a", 0, 1.0)
    assert slots.want("a", [10, 11], 1, 1.0) == 0, "the permit is the other worker's, which has a lower rank"
    called = slots.to_call(1, 1.0)
    assert list(called) == ["b"]
    assert slots.to_call(1, 1.0) == {}, "a worker is called once"
    assert slots.want("b", [5], 1, 1.0) == 1


def test_permits_are_shared_by_rank_not_by_worker() -> None:
    slots = PermitAllocator()
    slots.want("x", [0, 0, 0], 3, 0.0)
    slots.want("a", [1, 4, 6], 3, 0.0)
    slots.want("b", [2, 3, 5], 3, 0.0)
    slots.report_held("x", 0, 1.0)
    assert sorted(slots.to_call(3, 1.0)) == ["a", "b"]
    assert slots.want("a", [1, 4, 6], 3, 1.0) == 1
    assert slots.want("b", [2, 3, 5], 3, 1.0) == 2


def test_who_does_not_come_after_a_call_is_passed_over() -> None:
    slots = PermitAllocator()
    slots.want("x", [0], 1, 0.0)
    slots.want("hung", [1], 1, 0.0)
    slots.want("b", [2], 1, 0.0)
    slots.report_held("x", 0, 1.0)
    first = slots.to_call(1, 1.0)
    assert list(first) == ["hung"]
    assert slots.silent("hung", first["hung"])
    assert list(slots.to_call(1, 2.0)) == ["b"]


def test_a_worker_that_came_after_a_call_is_not_passed_over() -> None:
    slots = PermitAllocator()
    slots.want("x", [0], 1, 0.0)
    slots.want("a", [1], 1, 0.0)
    slots.report_held("x", 0, 1.0)
    number = slots.to_call(1, 1.0)["a"]
    assert slots.want("a", [1, 2], 1, 1.1) == 1
    assert not slots.silent("a", number)
    slots.report_held("a", 0, 2.0)
    assert list(slots.to_call(1, 2.0)) == ["a"], "its second one still waits"


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.lists(st.integers(0, 99), max_size=5)), max_size=40
    )
)
def test_honest_workers_never_hold_more_than_there_are(words: list[tuple[str, int, list[int]]]) -> None:
    """Each message tells what is left of what was given, and wants some more."""
    slots, held = PermitAllocator(), dict.fromkeys("abc", 0)
    for number, (worker, left, ranks) in enumerate(words):
        held[worker] = min(held[worker], left)
        slots.report_held(worker, held[worker], number / 100)
        held[worker] += slots.want(worker, sorted(ranks), 4, number / 100)
        assert sum(held.values()) <= 4


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 99)), max_size=30), st.integers(1, 4))
def test_all_come_in_by_rank_once_all_wait(runs: list[tuple[str, int]], size: int) -> None:
    """With every worker's ranks known to the home, whoever is let in is the lowest of all that wait."""
    slots = PermitAllocator()
    slots.report_held("x", size, 0.0)
    waiting = {worker: sorted(rank for one, rank in runs if one == worker) for worker in "abc"}
    for worker, ranks in waiting.items():
        slots.want(worker, ranks, size, 0.0)
    slots.report_held("x", 0, 0.0)
    entered: list[int] = []
    while any(waiting.values()):
        (worker, *_) = slots.to_call(1, 0.0)
        assert slots.want(worker, waiting[worker], 1, 0.0) == 1
        entered.append(waiting[worker].pop(0))
        slots.report_held(worker, 0, 0.0)
        slots.want(worker, waiting[worker], 0, 0.0)
    assert entered == sorted(rank for _, rank in runs)
