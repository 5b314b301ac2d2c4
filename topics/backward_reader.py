"""Reads a topic from its ends backwards in bounded steps: who wants the newest need not read what came before."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from topics.kafka import KafkaConfig
from topics.reader import RawRecord, offsets, read

_FIRST = 500
_MOST = 8_000


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """What was found in one step, in log order within a partition; ``unread`` are the partitions with older records."""

    records: list[T]
    unread: frozenset[int]


def backwards(
    config: KafkaConfig, topic: str, keep: Callable[[RawRecord], T], *, first: int = _FIRST, most: int = _MOST
) -> Iterator[Step[T]]:
    """Yield steps of ``first`` offsets of each partition, each twice as long as the one before, up to ``most``.

    ``keep`` says what to keep of a record, so that a step of large ones is held only in part. What is committed when
    the reading begins is read, each record once. Raises as ``read`` does.
    """
    low, high = offsets(config, topic, "earliest"), offsets(config, topic, "latest")
    length = first
    while behind := {number for number in high if low[number] < high[number]}:
        start = {number: max(low[number], high[number] - length) for number in behind}
        records = [keep(record) for record in read(config, topic, start=start, end=high, partitions=behind)]
        high.update(start)
        yield Step(records, frozenset(number for number in behind if low[number] < start[number]))
        length = min(length * 2, most)
