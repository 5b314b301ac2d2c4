"""Places: never more than there are, and what a dead worker held comes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.worker.limits.slots import LEASE_S, Slots


def test_no_more_is_given_than_is_free() -> None:
    slots = Slots()
    assert slots.want("a", 3, 2, 0.0) == 2
    assert slots.want("b", 1, 2, 0.0) == 0


def test_what_is_told_as_held_counts_even_beyond_the_size() -> None:
    slots = Slots()
    slots.tell("a", 3, 0.0)
    assert slots.want("b", 1, 2, 0.0) == 0
    assert slots.used(0.0) == 3


def test_the_next_word_frees_what_is_not_held_any_more() -> None:
    slots = Slots()
    slots.want("a", 2, 2, 0.0)
    slots.want("b", 1, 2, 0.0)
    slots.tell("a", 1, 1.0)
    assert slots.to_wake("a", 2, 1.0) == ["b"]
    assert slots.want("b", 1, 2, 1.0) == 1


def test_a_dead_workers_places_come_back_after_its_lease() -> None:
    slots = Slots()
    slots.want("a", 1, 1, 0.0)
    assert slots.want("b", 1, 1, LEASE_S - 0.1) == 0
    assert slots.want("b", 1, 1, LEASE_S + 0.1) == 1


def test_who_waits_leaves_others_their_share() -> None:
    slots = Slots()
    slots.want("a", 4, 4, 0.0)
    slots.want("b", 3, 4, 0.0)
    slots.tell("a", 0, 1.0)
    assert slots.want("a", 4, 4, 1.0) == 2
    assert slots.want("b", 3, 4, 1.0) == 1
    assert slots.to_wake("b", 4, 1.0) == ["a"]
    assert slots.want("a", 2, 4, 1.0) == 1


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.integers(0, 5)), max_size=40))
def test_honest_workers_never_hold_more_than_there_are(words: list[tuple[str, int, int]]) -> None:
    """Each message tells what is left of what was given, and wants some more."""
    slots, held = Slots(), dict.fromkeys("abc", 0)
    for number, (worker, left, wanted) in enumerate(words):
        held[worker] = min(held[worker], left)
        slots.tell(worker, held[worker], number / 100)
        held[worker] += slots.want(worker, wanted, 4, number / 100)
        assert sum(held.values()) <= 4
