"""Which workers have copies of a partition: the same answer in every worker that has got the same heartbeats.

The group's `range` assignor puts its members in an order of its own (that of their ids, which nobody else knows) and
gives each in turn a range of the partition numbers (`RangeAssignor` of Kafka's group coordinator, from 4.0 on). The
order is seen in what each owns, so who would inherit a partition is known before: the ranges of those that are left.
Copies are first of all with the heir, then with those to whom the death of a third one would move the partition, then
wherever rendezvous hashing says.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence


def chosen(members: Mapping[str, frozenset[int]], copies: int) -> dict[int, list[str]]:
    """Return for each owned partition the members that have a copy, at most `copies`, the likeliest heir first.

    `members` are the live workers of one pool with the partitions that each owns; an owner has no copy of its own.
    """
    order = sorted(members, key=lambda name: (not members[name], min(members[name], default=0), name))
    count = max((number for owned in members.values() for number in owned), default=-1) + 1
    without = {gone: _ranges([name for name in order if name != gone], count) for gone in order}
    keepers: dict[int, list[str]] = {}
    for owner in order:
        for number in sorted(members[owner]):
            moves = Counter(without[gone].get(number) for gone in order if gone != owner)
            heir = without[owner].get(number)
            ranked = sorted(
                (name for name in order if number not in members[name]),
                key=lambda name: (name != heir, -moves[name], _weight(name, number)),
            )
            if ranked:
                keepers[number] = ranked[:copies]
    return keepers


def _ranges(names: Sequence[str], count: int) -> dict[int, str]:
    """Return whose each of `count` partitions is: ranges of equal length, the first ones longer by what is left."""
    owners: list[str] = []
    for place, name in enumerate(names):
        owners += [name] * (count // len(names) + (place < count % len(names)))
    return dict(enumerate(owners))


def _weight(member: str, number: int) -> bytes:
    return hashlib.blake2b(f"{member}/{number}".encode(), digest_size=8).digest()
