"""Changelogs read into stores: from where a store's mark says, committed records only, each write with its new mark."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from confluent_kafka import Consumer, IsolationLevel, KafkaError, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from streams import clock
from streams.runtime.cluster_queries import answered
from streams.runtime.errors import RestoreError
from streams.runtime.index_entries import with_entries
from streams.runtime.partition_store import ChangelogMark

if TYPE_CHECKING:
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.client_config import Config
    from streams.runtime.commit_unit import Write
    from streams.runtime.partition_store import PartitionStore
    from streams.runtime.record import ConsumedRecord

log = logging.getLogger(__name__)


CHUNK: Final = 5000  # records taken at once
_ANSWER_S: Final = 5.0
_TOMBSTONE_MS: Final = 12 * 3600 * 1000  # half of the changelogs' delete.retention.ms: older marks may miss deletions

Place = tuple[str, int]


@dataclass(slots=True)
class ChangelogReading:
    """One changelog partition being read into the store of an assignment that lives."""

    owner: PartitionAssignment
    store: PartitionStore
    topic_id: str
    position: int
    end: int  # the high watermark when the reading began, at `listed_ms`
    listed_ms: int
    as_of_ms: int  # no deletion of this time or younger can be missing from what is still to be read
    marked: int = -1  # the position that the store's mark says
    rows: list[tuple[PartitionStore, bytes, bytes | None]] = field(default_factory=list)
    count: int = 0

    @property
    def place(self) -> Place:
        """Return the changelog's topic and partition."""
        return self.store.topic, self.store.partition


class ChangelogReader:
    """Brings stores nearer to the ends of their changelogs; all calls block and may come from any one thread."""

    def __init__(self, client: Config) -> None:
        """Ask the cluster as `client` says."""
        self._client = client

    def readings(self, owned: Sequence[PartitionAssignment]) -> list[ChangelogReading]:
        """Return where each store goes on; one that does not fit its changelog is cleared and begins anew."""
        stores = [(one, store) for one in owned if one.live for store in one.stores.values()]
        if not stores:
            return []
        ids = self._topic_ids({store.topic for _, store in stores})
        spots = {(store.topic, store.partition) for _, store in stores}
        lows = self.offsets(spots, OffsetSpec.earliest())
        now = clock.now_ms()
        highs = self.offsets(spots, OffsetSpec.latest())
        readings = []
        for one, store in stores:
            place = (store.topic, store.partition)
            with one.guard:
                if not one.live:  # its files may be another's by now
                    continue
                mark = self._fitting(store, ids[store.topic], highs[place])
                if mark is None:
                    store.db.clear(store)  # what is there without a mark is no prefix of the changelog
            position = lows[place] if mark is None else max(mark.next_offset, lows[place])
            as_of = now if mark is None else mark.at_ms
            readings.append(ChangelogReading(one, store, ids[store.topic], position, highs[place], now, as_of))
        return readings

    def _fitting(self, store: PartitionStore, topic_id: str, end: int) -> ChangelogMark | None:
        """Return the mark of a store that can go on from it, None for one that does not fit its changelog."""
        mark = store.db.mark(store.name)
        if mark is None:
            return None
        why = None
        if mark.topic_id != topic_id:
            why = "its changelog topic was made anew"
        elif mark.next_offset > end:
            why = f"it is ahead of its changelog ({mark.next_offset} > {end})"
        elif clock.now_ms() - mark.at_ms > _TOMBSTONE_MS and mark.next_offset < end:
            why = "it is so old that deletions may be missing from the changelog"
        if why is None:
            return mark
        log.info("rebuilding %s/%s: %s", store.name, store.partition, why)
        return None

    def take(self, reader: Consumer, open_: Mapping[Place, ChangelogReading], seconds: float) -> int:
        """Write what `reader` has, waiting `seconds` at most; return how many records that were.

        Raises RestoreError when the library says that it can read no more.
        """
        messages = reader.consume(CHUNK, seconds)
        for message in messages:
            record = cast("ConsumedRecord", message)  # an end of partition has its place and offset, too
            reading = open_.get((record.topic(), record.partition()))
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF and reading is not None:  # noqa: SLF001
                    reading.position = max(reading.position, record.offset())
                    reading.as_of_ms = clock.now_ms()
                elif error.fatal():
                    raise RestoreError(f"cannot read the changelogs: {error.str()}")
                continue
            if reading is not None:
                reading.rows.append((reading.store, record.key() or b"", record.value()))
                reading.position = record.offset() + 1
                reading.count += 1
        for reading in open_.values():
            if reading.position != reading.marked:
                self.write(reading)
        return len(messages)

    def write(self, reading: ChangelogReading) -> None:
        """Write what was read with its mark, unless the assignment has died."""
        if reading.position >= reading.end:
            reading.as_of_ms = max(reading.as_of_ms, reading.listed_ms)
        mark = ChangelogMark(reading.topic_id, reading.position, reading.as_of_ms)
        with reading.owner.guard:
            if reading.owner.live:
                reading.store.db.apply(self._rows(reading), [(reading.store.name, mark)])
        reading.marked = reading.position
        reading.rows.clear()

    def finish(self, reading: ChangelogReading) -> None:
        """Make an index that a new store lacks, or that was made for other lookups: all rows are there now."""
        self.write(reading)
        with reading.owner.guard:
            if reading.owner.live and not reading.store.db.indexed(reading.store):
                reading.store.db.index(reading.store)

    def _rows(self, reading: ChangelogReading) -> Iterable[Write]:
        """Return what to write for the rows read: with their index entries, unless that is made at the end."""
        store = reading.store
        return with_entries(store, reading.rows) if store.index and store.db.indexed(store) else reading.rows

    def _topic_ids(self, topics: set[str]) -> dict[str, str]:
        def ask(admin: AdminClient) -> dict[str, str]:
            futures = admin.describe_topics(TopicCollection(sorted(topics)), request_timeout=_ANSWER_S)
            return {topic: str(future.result(_ANSWER_S + 1).topic_id) for topic, future in futures.items()}

        return answered(self._client, ask)

    def offsets(self, places: set[Place], spec: OffsetSpec) -> dict[Place, int]:
        """Return log ends regardless of open transactions (isolation read_uncommitted)."""
        request = {TopicPartition(topic, partition): spec for topic, partition in places}

        def ask(admin: AdminClient) -> dict[Place, int]:
            futures = admin.list_offsets(
                request, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=_ANSWER_S
            )
            return {(at.topic, at.partition): future.result(_ANSWER_S + 1).offset for at, future in futures.items()}

        return answered(self._client, ask)
