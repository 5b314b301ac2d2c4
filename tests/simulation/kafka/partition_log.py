"""The log of one partition: batches, control markers, open and aborted transactions, retention and compaction.

The rules are those of Kafka's log layer: a producer's last five batches are remembered so that a repetition is not
appended again (KIP-98), a marker takes an offset, readers of committed records stop at the last stable offset.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from confluent_kafka import KafkaError

from tests.simulation.kafka.errors import RefusedError

_REMEMBERED: Final = 5  # batches of a producer
_RECORD_OVERHEAD: Final = 12
_BATCH_OVERHEAD: Final = 61
_MARKER_BYTES: Final = 78

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record as a producer sent it; `timestamp` in milliseconds since the epoch."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int

    def size(self) -> int:
        """Return about how many bytes it takes."""
        headers = sum(len(name) + len(value or b"") + 4 for name, value in self.headers)
        return _RECORD_OVERHEAD + len(self.key or b"") + len(self.value or b"") + headers


@dataclass(slots=True)
class LogBatch:
    """Records that were appended together, or one control marker."""

    base: int
    records: list[tuple[int, LogRecord]]
    last: int  # the last offset, also after compaction has removed the record there
    producer_id: int
    transactional: bool
    marker: bool | None  # whether a marker commits; None for records
    appended_ms: int
    max_timestamp: int
    size: int
    segment: int = 0  # the first offset of its segment
    horizon_ms: int | None = None  # when a cleaned tombstone or marker may be removed


@dataclass(frozen=True, slots=True)
class AbortedTransaction:
    """Where an aborted transaction begins, and where its marker lies."""

    first: int
    last: int


@dataclass(slots=True)
class ProducerEntry:
    """What a partition remembers of a producer."""

    epoch: int
    batches: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    open_from: int | None = None  # first offset of the transaction that is open here


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records that a reader may have, and the offset from which it goes on."""

    records: list[tuple[int, LogRecord]]
    following: int


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The settings of a topic that its logs obey; times in milliseconds, None for no limit."""

    compacts: bool = False
    deletes: bool = True
    retention_ms: int | None = 604_800_000
    retention_bytes: int | None = None
    segment_ms: int = 604_800_000
    segment_bytes: int = 1_073_741_824
    delete_retention_ms: int = 86_400_000
    min_compaction_lag_ms: int = 0
    max_message_bytes: int = 1_048_588
    timestamp_after_ms: int = 3_600_000  # how far a record may be ahead of the broker's clock


class PartitionLog:
    """One partition's log; times are given by the caller, in milliseconds since the epoch."""

    def __init__(self) -> None:
        """Begin empty."""
        self._batches: list[LogBatch] = []
        self._active = 0  # offset at which the active segment begins
        self._active_ms: int | None = None  # the first append to it
        self._active_bytes = 0
        self._aborted: dict[int, list[AbortedTransaction]] = {}  # by producer
        self.producers: dict[int, ProducerEntry] = {}
        self.start = 0
        self.end = 0

    # -- reading

    @property
    def stable_end(self) -> int:
        """Return the last stable offset: before it no transaction is open."""
        unstable = [one.open_from for one in self.producers.values() if one.open_from is not None]
        return max(min(unstable, default=self.end), self.start)

    def read(self, offset: int, *, committed: bool, limit: int, max_bytes: int) -> Fetched:
        """Return up to `limit` records from `offset` on; raises RefusedError for an offset outside of the log."""
        if offset < self.start or offset > self.end:
            raise RefusedError(KafkaError.OFFSET_OUT_OF_RANGE)
        end = self.stable_end if committed else self.end
        found: list[tuple[int, LogRecord]] = []
        following, taken = end, 0
        for batch in self._from(offset):
            if batch.base >= end:
                break
            if len(found) >= limit or (found and taken + batch.size > max_bytes):
                following = batch.base
                break
            if batch.marker is None and not (committed and self._is_aborted(batch)):
                found += [(at, record) for at, record in batch.records if at >= offset]
                taken += batch.size
        return Fetched(found, max(following, offset))

    def offset_at(self, timestamp: int, *, committed: bool) -> tuple[int, int] | None:
        """Return offset and timestamp of the first record that is not before a time."""
        end = self.stable_end if committed else self.end
        for batch in self._from(self.start):
            if batch.base >= end:
                return None
            if batch.marker is None and batch.max_timestamp >= timestamp:
                for offset, record in batch.records:
                    if offset >= self.start and record.timestamp >= timestamp:
                        return offset, record.timestamp
        return None

    def latest_timestamp(self) -> tuple[int, int] | None:
        """Return offset and timestamp of the youngest record."""
        records = [(record.timestamp, -at) for one in self._batches if one.marker is None for at, record in one.records]
        if not records:
            return None
        timestamp, offset = max(records)
        return -offset, timestamp

    def size(self) -> int:
        """Return about how many bytes the log takes."""
        return sum(batch.size for batch in self._batches)

    def _from(self, offset: int) -> list[LogBatch]:
        first = bisect_left(self._batches, offset, key=lambda batch: batch.last)
        return self._batches[first:] if first else self._batches

    def _is_aborted(self, batch: LogBatch) -> bool:
        return batch.transactional and any(
            one.first <= batch.base < one.last for one in self._aborted.get(batch.producer_id, ())
        )

    # -- writing

    def append(
        self,
        records: list[LogRecord],
        now_ms: int,
        *,
        settings: LogSettings,
        producer_id: int = -1,
        epoch: int = -1,
        sequence: int = -1,
        transactional: bool = False,
    ) -> int:
        """Append a batch and return its first offset, that of the first time for a repetition.

        Raises RefusedError as the broker does for its size, its epoch and its sequence number.
        """
        size = _BATCH_OVERHEAD + sum(record.size() for record in records)
        if size > settings.max_message_bytes:
            raise RefusedError(KafkaError.MSG_SIZE_TOO_LARGE)
        if settings.compacts and any(record.key is None for record in records):
            raise RefusedError(KafkaError.INVALID_RECORD)
        if any(record.timestamp - now_ms > settings.timestamp_after_ms for record in records):
            raise RefusedError(KafkaError.INVALID_TIMESTAMP)
        if producer_id >= 0:
            repeated = self._check(producer_id, epoch, sequence, len(records), transactional=transactional)
            if repeated is not None:
                return repeated
        base = self.end
        if producer_id >= 0:
            self._note(producer_id, epoch, sequence, len(records), base, transactional=transactional)
        placed = [(base + index, record) for index, record in enumerate(records)]
        newest = max(record.timestamp for record in records)
        self._add(
            LogBatch(base, placed, base + len(records) - 1, producer_id, transactional, None, now_ms, newest, size),
            settings,
        )
        return base

    def end_transaction(
        self, producer_id: int, epoch: int, now_ms: int, *, commit: bool, settings: LogSettings
    ) -> None:
        """Append the marker of a producer's transaction; later batches of an older epoch are refused.

        One of an older epoch changes nothing: the transaction was ended by a newer one.
        """
        entry = self.producers.setdefault(producer_id, ProducerEntry(epoch))
        if epoch < entry.epoch:
            return
        if epoch > entry.epoch:
            entry.epoch = epoch
            entry.batches.clear()
        if entry.open_from is not None and not commit:
            aborted = AbortedTransaction(entry.open_from, self.end)
            self._aborted.setdefault(producer_id, []).append(aborted)
        entry.open_from = None
        self._add(LogBatch(self.end, [], self.end, producer_id, True, commit, now_ms, now_ms, _MARKER_BYTES), settings)

    def _check(self, producer_id: int, epoch: int, sequence: int, count: int, *, transactional: bool) -> int | None:
        """Return the offset of a batch that is a repetition; raises RefusedError for one that cannot follow."""
        entry = self.producers.get(producer_id)
        if entry is None:
            return None  # nothing is known of the producer: any number is the first
        if epoch < entry.epoch:
            raise RefusedError(KafkaError.INVALID_PRODUCER_EPOCH)
        if entry.open_from is not None and not transactional:
            raise RefusedError(KafkaError.INVALID_TXN_STATE)
        if epoch > entry.epoch:
            expected = 0
        else:
            for first, last, offset in entry.batches:
                if (first, last) == (sequence, sequence + count - 1):
                    return offset
            expected = entry.batches[-1][1] + 1 if entry.batches else 0
        if sequence != expected:
            raise RefusedError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER)
        return None

    def _note(self, producer_id: int, epoch: int, sequence: int, count: int, base: int, *, transactional: bool) -> None:
        entry = self.producers.setdefault(producer_id, ProducerEntry(epoch))
        if epoch > entry.epoch:
            entry.epoch = epoch
            entry.batches.clear()
        entry.batches.append((sequence, sequence + count - 1, base))
        if transactional and entry.open_from is None:
            entry.open_from = base

    def _add(self, batch: LogBatch, settings: LogSettings) -> None:
        too_old = self._active_ms is not None and batch.appended_ms - self._active_ms > settings.segment_ms
        if self._active_bytes and (self._active_bytes + batch.size > settings.segment_bytes or too_old):
            self._begin_segment(batch.base)
        if self._active_ms is None:
            self._active_ms = batch.appended_ms
        self._active_bytes += batch.size
        batch.segment = self._active
        self._batches.append(batch)
        self.end = batch.last + 1

    # -- removing

    def delete_before(self, offset: int) -> int:
        """Move the start of the log up to `offset`, -1 for its end; return the new start."""
        wanted = self.end if offset < 0 else offset
        if wanted > self.end:
            raise RefusedError(KafkaError.OFFSET_OUT_OF_RANGE)
        self.start = max(self.start, wanted)
        self._drop()
        return self.start

    def retain(self, now_ms: int, settings: LogSettings) -> None:
        """Delete segments that are older or more than the topic may keep, from the oldest on."""
        if not settings.deletes:
            return
        self._roll(now_ms, settings)
        excess = None if settings.retention_bytes is None else self.size() - settings.retention_bytes
        for segment in self._closed_segments():
            size = sum(batch.size for batch in segment)
            newest = max(batch.max_timestamp for batch in segment)
            expired = settings.retention_ms is not None and now_ms - newest > settings.retention_ms
            if segment[-1].last >= self.stable_end or not (expired or (excess is not None and size <= excess)):
                break
            excess = None if excess is None else excess - size
            self.start = max(self.start, segment[-1].last + 1)
        self._drop()

    def _closed_segments(self) -> list[list[LogBatch]]:
        closed = [batch for batch in self._batches if batch.base < self._active]
        return [list(batches) for _, batches in groupby(closed, key=lambda batch: batch.segment)]

    def compact(self, now_ms: int, settings: LogSettings) -> None:
        """Keep of each key the last record of the closed part, drop aborted records, tombstones and markers in time."""
        if not settings.compacts:
            return
        end = min(self._active, self.stable_end)
        clean = [one for one in self._batches if one.last < end and self._is_old(one, now_ms, settings)]
        latest = {
            record.key: offset
            for one in clean
            if one.marker is None and not self._is_aborted(one)
            for offset, record in one.records
        }
        for batch in clean:
            self._clean(batch, latest, now_ms, settings)
        emptied = {id(one) for one in clean if not one.records and not self._keeps_marker(one, now_ms)}
        self._batches = [one for one in self._batches if id(one) not in emptied]

    @staticmethod
    def _is_old(batch: LogBatch, now_ms: int, settings: LogSettings) -> bool:
        return now_ms - batch.max_timestamp >= settings.min_compaction_lag_ms

    def _clean(self, batch: LogBatch, latest: dict[bytes | None, int], now_ms: int, settings: LogSettings) -> None:
        if batch.marker is None and self._is_aborted(batch):
            batch.records = []
        kept = [(offset, record) for offset, record in batch.records if latest.get(record.key) == offset]
        if batch.horizon_ms is not None and now_ms > batch.horizon_ms:
            kept = [(offset, record) for offset, record in kept if record.value is not None]
        elif batch.horizon_ms is None and (batch.marker is not None or any(one.value is None for _, one in kept)):
            batch.horizon_ms = now_ms + settings.delete_retention_ms
        batch.records = kept
        if batch.marker is None:
            batch.size = _BATCH_OVERHEAD + sum(record.size() for _, record in kept)

    def _keeps_marker(self, batch: LogBatch, now_ms: int) -> bool:
        """Tell whether a marker is needed: while records of its transaction are there, or its horizon is ahead."""
        if batch.marker is None:
            return False
        if batch.horizon_ms is None or now_ms <= batch.horizon_ms:
            return True
        return any(
            one.producer_id == batch.producer_id and one.transactional and one.records and one.base < batch.base
            for one in self._batches
        )

    def _roll(self, now_ms: int, settings: LogSettings) -> None:
        """Close the active segment once all of it is to be deleted."""
        newest = max((one.max_timestamp for one in self._batches if one.base >= self._active), default=None)
        if settings.retention_ms is not None and newest is not None and now_ms - newest > settings.retention_ms:
            self._begin_segment(self.end)

    def _begin_segment(self, offset: int) -> None:
        self._active, self._active_ms, self._active_bytes = offset, None, 0

    def _drop(self) -> None:
        self._batches = [batch for batch in self._batches if batch.last >= self.start]
        for producer_id, aborted in list(self._aborted.items()):
            self._aborted[producer_id] = [one for one in aborted if one.last >= self.start]
