"""Reads a source from its topics as Arrow batches: only the columns and records that a statement needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from streams.query.sql.errors import SqlLimitError
from streams.query.sql.rows import Rows
from topics.reader import Time, offsets, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from schemas.avro.codec import Codec
    from streams.query.sql.plan import Need
    from streams.query.sql.views import Moment, SqlSource
    from topics.kafka import KafkaConfig
    from topics.reader import RawRecord

BATCH: Final = 8_192
_BATCH_BYTES: Final = 8 << 20  # of records: few large ones make a batch of their own


@dataclass(frozen=True, slots=True)
class Counter:
    """What a statement has read so far, and may read."""

    most_bytes: int
    read: dict[str, int]

    def add(self, records: int, size: int) -> None:
        """Count; SqlLimitError when it is too much."""
        self.read["records"] += records
        self.read["bytes"] += size
        if self.read["bytes"] > self.most_bytes:
            raise SqlLimitError(
                f"The statement read more than {self.most_bytes >> 20} MiB of records: narrow it by "
                "time >= TIMESTAMPTZ '…', \"offset\" >= N, \"partition\" = N or key = '…'."
            )


@dataclass(frozen=True, slots=True)
class TopicReads:
    """Reads topics up to where they ended when the statement began, so that a second scan sees the same."""

    config: KafkaConfig
    codec: Codec
    ends: dict[str, dict[int, int]]

    def end(self, topic: str) -> dict[int, int]:
        """Return the end of a topic, found once."""
        if topic not in self.ends:
            self.ends[topic] = offsets(self.config, topic)
        return self.ends[topic]

    def records(self, topic: str, need: Need, until: Moment | None = None) -> Iterator[RawRecord]:
        """Yield the records of a topic that the bounds of a statement leave; all that they do not rule out."""
        end = self.end(topic)
        lasts = [need.last_offset, None if until is None else until.offset]
        last = min((offset for offset in lasts if offset is not None), default=None)
        chosen = sorted(end) if need.partition is None else [need.partition] if need.partition in end else []
        if not chosen:
            return iter(())
        start: dict[int, int] = dict.fromkeys(chosen, need.first_offset or 0)
        if need.since_ms is not None:
            for number, offset in offsets(self.config, topic, Time(max(need.since_ms, 0)), partitions=chosen).items():
                start[number] = max(start[number], offset)
        if last is not None:
            end = {number: min(offset, last + 1) for number, offset in end.items()}
        return read(self.config, topic, start=start, end=end, key=need.key, partitions=None if need.key else chosen)


def batches(
    source: SqlSource,
    topics: Sequence[str],
    need: Need,
    reads: TopicReads,
    counter: Counter,
) -> Iterator[pa.RecordBatch]:
    """Yield the source's rows; columns that the statement does not need are null. Raises TopicError, SqlLimitError."""
    rows = Rows(source, need.columns, reads.codec)
    for topic in topics:
        for records in _portions(reads.records(topic, need, source.until), counter):
            yield from rows.batches(records)
    yield rows.empty()


def _portions(records: Iterator[RawRecord], counter: Counter) -> Iterator[list[RawRecord]]:
    """Yield records in lists of bounded length and size, and count them."""
    found: list[RawRecord] = []
    size = 0
    for record in records:
        found.append(record)
        size += len(record.key or b"") + len(record.value or b"")
        if len(found) == BATCH or size >= _BATCH_BYTES:
            counter.add(len(found), size)
            yield found
            found, size = [], 0
    counter.add(len(found), size)
    yield found
