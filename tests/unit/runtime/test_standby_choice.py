"""Who keeps copies: alike everywhere, never the owner, as evenly as the group would share, with few moves."""

from __future__ import annotations

import pytest

from streams.runtime.standby_choice import chosen
from streams.runtime.standby_placement import wanted


def shared(partitions: int, *names: str) -> dict[str, frozenset[int]]:
    """Return members with their ranges, as the group gives them in the order of the names."""
    found: dict[str, frozenset[int]] = {}
    start = 0
    for place, name in enumerate(names):
        end = start + partitions // len(names) + (place < partitions % len(names))
        found[name] = frozenset(range(start, end))
        start = end
    return found


def test_of_two_workers_each_keeps_what_the_other_owns() -> None:
    assert chosen({"a": frozenset({0, 1}), "b": frozenset({2, 3})}, 1) == {0: ["b"], 1: ["b"], 2: ["a"], 3: ["a"]}


def test_a_worker_alone_has_nobody_who_keeps_a_copy() -> None:
    assert chosen({"a": frozenset({0, 1})}, 1) == {}
    assert chosen({}, 1) == {}


@pytest.mark.parametrize("copies", [1, 2, 3, 8])
@pytest.mark.parametrize("names", ["ab", "abc", "abcde"])
def test_copies_are_of_different_workers_and_never_of_the_owner(names: str, copies: int) -> None:
    members = shared(12, *names)
    found = chosen(members, copies)
    assert sorted(found) == list(range(12))
    for number, keepers in found.items():
        assert len(set(keepers)) == len(keepers) == min(copies, len(names) - 1)
        assert all(number not in members[keeper] for keeper in keepers)


def test_every_worker_finds_the_same_in_whatever_order_it_heard_of_the_others() -> None:
    members = shared(16, "a", "b", "c")
    assert chosen(members, 1) == chosen(dict(reversed(members.items())), 1)


@pytest.mark.parametrize("partitions", [1, 2, 4, 12, 13])
@pytest.mark.parametrize("names", ["ab", "cab", "abcde"])
def test_whoever_dies_its_heirs_have_the_copies(names: str, partitions: int) -> None:
    """The group shares anew among those that are left, in their order; a spare one is behind those that own."""
    members = shared(partitions, *names)
    found = chosen(members, 1)
    for dead in names:
        after = shared(partitions, *(name for name in names if name != dead))
        for number in members[dead]:
            [heir] = found[number]
            assert number in after[heir], (dead, number)


def test_a_copy_is_also_where_the_death_of_a_third_one_would_move_the_partition() -> None:
    """Of a, b, c with 0 and 1, 2, 3: without `a` the group gives 2 to `c`, though `b` lives."""
    assert chosen(shared(4, "a", "b", "c"), 1)[2] == ["c"]


def test_a_partition_that_two_claim_while_it_moves_has_no_copy_with_either() -> None:
    members = {"a": frozenset({0, 1}), "b": frozenset({1}), "c": frozenset[int]()}
    assert chosen(members, 2)[1] == ["c"]


def test_a_copy_is_kept_while_its_partition_has_no_owner() -> None:
    """The dead owner's heartbeats count no more, and the next one has not beaten yet."""
    members = {"b": frozenset({2, 3}), "c": frozenset({4})}
    assert wanted(members, "b", 1, lambda: frozenset({0, 1})) >= {0, 1, 4}
    owned_again = {**members, "c": frozenset({0, 1, 4})}
    assert wanted(owned_again, "c", 1, lambda: frozenset({0, 1})) == {2, 3}
    assert wanted({}, "b", 1, lambda: frozenset({0})) == {0}
