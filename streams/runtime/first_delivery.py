"""Requires the delivery report of the first record on each partition: the broker may drop it as a duplicate.

An idempotent producer has several requests under way. On a partition that holds nothing of the producer yet, the broker
takes any sequence number; so if it refuses the first batch for the moment (a leader that is not ready) and accepts the
second, the first looks like a repetition when it comes again. The library reports that as a success, without an offset,
and the transaction would commit without those records. The lost ones always begin with the partition's first: so it is
enough to ask for that one's delivery, until the partition has acknowledged one with its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final

from streams import clock
from topics.partition import partition_of

if TYPE_CHECKING:
    from streams.runtime.commit_unit import Out

Partition = tuple[str, int]

#: A broker forgets a producer that wrote nothing to a partition for a day (producer.id.expiration.ms).
_KNOWN_S: Final = 12 * 3600.0


class FirstDeliveryGuard:
    """Which partitions know this producer; used by the commit thread alone."""

    def __init__(self, partitions: Callable[[str], int]) -> None:
        """Begin without records; `partitions` says how many a topic has, 0 if that is not known."""
        self._partitions = partitions
        self._counts: dict[str, int] = {}
        self._known: set[Partition] = set()  # with -1 for a topic of which every partition is known
        self._since = clock.monotonic()

    def of(self, outs: Sequence[Out], partitions: AbstractSet[Partition]) -> list[int]:
        """Return the places in `outs`, which go to `partitions`, of those that may be the first on theirs."""
        if clock.monotonic() - self._since > _KNOWN_S:
            self._since = clock.monotonic()
            self._known.clear()
            self._counts.clear()
        new = partitions - self._known
        if not new:
            return []
        counts = {topic: self._count(topic) for topic, partition in new if partition < 0}
        asked: dict[Partition | int, int] = {}
        for place, (topic, _, key, partition, _) in enumerate(outs):
            if (topic, partition) in new:
                number = partition if partition >= 0 else _number(key, counts[topic])
                if (topic, number) not in self._known:
                    asked.setdefault(place if number is None else (topic, number), place)
        self._known.update((topic, -1) for topic, count in counts.items() if self._all(topic, count))
        return list(asked.values())

    def _count(self, topic: str) -> int:
        """Return how many partitions a topic has; the broker is asked until it says so."""
        if not self._counts.get(topic):
            self._counts[topic] = self._partitions(topic)
        return self._counts[topic]

    def _all(self, topic: str, count: int) -> bool:
        return count > 0 and all((topic, number) in self._known for number in range(count))

    def learnt(self, topic: str, partition: int) -> None:
        """Note that a partition has acknowledged a record with its offset."""
        self._known.add((topic, partition))


def _number(key: bytes | None, count: int) -> int | None:
    """Return the partition that the library will choose, None if that is not known."""
    return None if key is None or not count else partition_of(key, count)
