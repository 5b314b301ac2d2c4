"""Who keeps copies: alike everywhere, never the owner, as evenly as the group would share, with few moves."""

from __future__ import annotations

from collections import Counter

import pytest

from streams.worker.standby.choice import chosen
from streams.worker.standby.placing import wanted


def shared(partitions: int, *names: str) -> dict[str, frozenset[int]]:
    """Return members that own the partitions in turn."""
    return {
        name: frozenset(range(place, partitions, len(names))) for place, name in enumerate(names)
    }  # as even as the group has them


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


def test_no_worker_would_inherit_more_than_its_share() -> None:
    """Whoever dies, its partitions are with those that the group gives them to: each has what it would own then."""
    members = shared(24, "a", "b", "c", "d")
    found = chosen(members, 1)
    for owner, owned in members.items():
        heirs = Counter(found[number][0] for number in owned)
        assert max(heirs.values()) == 2, owner
        assert len(heirs) == 3


def test_a_spare_worker_is_the_heir() -> None:
    """It has room, and the group gives it the partitions of the first that dies."""
    members = {"a": frozenset({0}), "b": frozenset({1}), "spare": frozenset[int]()}
    assert chosen(members, 1) == {0: ["spare"], 1: ["spare"]}


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
