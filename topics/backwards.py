"""Reads a topic from its ends backwards in bounded steps: who wants the newest need not read what came before."""

from collections.abc import Iterator
from typing import NamedTuple

from topics.kafka import KafkaConfig
from topics.reader import RawRecord, offsets, read

_FIRST = 500
_MOST = 8_000


class Step(NamedTuple):
    """The records of one step, in log order within a partition; ``unread`` has the partitions that hold older ones."""

    records: list[RawRecord]
    unread: frozenset[int]


def backwards(config: KafkaConfig, topic: str, *, first: int = _FIRST, most: int = _MOST) -> Iterator[Step]:
    """Yield steps of ``first`` offsets of each partition, each twice as long as the one before, up to ``most``.

    What is committed when the reading begins is read, each record once. Raises as ``read`` does.
    """
    low, high = offsets(config, topic, "earliest"), offsets(config, topic, "latest")
    length = first
    while behind := {number for number in high if low[number] < high[number]}:
        start = {number: max(low[number], high[number] - length) for number in behind}
        records = list(read(config, topic, start=start, end=high, partitions=behind))
        high.update(start)
        yield Step(records, frozenset(number for number in behind if low[number] < start[number]))
        length = min(length * 2, most)
