"""Which workers keep copies of a partition: the same answer in every worker that has heard the same heartbeats.

The group's `range` assignor leaves to each member what it has and gives a dead member's partitions to those that have
fewer than their share of them (org.apache.kafka.coordinator.group.assignor.RangeAssignor), in an order that no worker
knows. So the copies of an owner's partitions go to those that would have room for them, spread by rendezvous hashing:
a worker that comes or goes moves few copies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def chosen(members: Mapping[str, frozenset[int]], copies: int) -> dict[int, list[str]]:
    """Return for each owned partition the members that keep a copy, at most `copies`, the likeliest heir first.

    `members` are the live workers of one pool with the partitions that each owns; an owner keeps no copy of its own.
    """
    keepers: dict[int, list[str]] = {}
    total = len(frozenset().union(*members.values()))
    for owner in sorted(members):
        others = [name for name in members if name != owner]
        if not others:
            continue
        share = -(-total // len(others))  # what the most loaded has once the owner is gone
        room = {name: share - len(members[name]) for name in others}
        for number in sorted(members[owner]):
            ranked = sorted((name for name in others if number not in members[name]), key=lambda m: _weight(m, number))
            heir = next((name for name in ranked if room[name] > 0), None)
            if heir is not None:
                room[heir] -= 1
                ranked.remove(heir)
                ranked.insert(0, heir)
            keepers[number] = ranked[:copies]
    return keepers


def _weight(member: str, number: int) -> bytes:
    return hashlib.blake2b(f"{member}/{number}".encode(), digest_size=8).digest()
