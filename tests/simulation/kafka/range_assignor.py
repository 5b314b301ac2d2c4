"""The range assignor of the brokers' group protocol: each topic over the members that subscribe to it, in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Partition = tuple[str, int]


def assign(subscriptions: Mapping[str, Iterable[str]], partitions: Mapping[str, int]) -> dict[str, set[Partition]]:
    """Return the partitions of each member: consecutive ones, the first members get one more where it does not divide.

    `subscriptions` has the topics of each member, `partitions` how many a topic has; a topic without is left out.
    """
    result: dict[str, set[Partition]] = {member: set() for member in subscriptions}
    topics = sorted({topic for wanted in subscriptions.values() for topic in wanted if topic in partitions})
    for topic in topics:
        members = sorted(member for member, wanted in subscriptions.items() if topic in wanted)
        least, more = divmod(partitions[topic], len(members))
        following = 0
        for index, member in enumerate(members):
            count = least + (index < more)
            result[member] |= {(topic, number) for number in range(following, following + count)}
            following += count
    return result
