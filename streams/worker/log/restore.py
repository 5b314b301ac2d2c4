"""Bring a slice's stores up to its changelogs before any of its records is handled.

The order is what makes it right. First the committed offsets of all sources, by a read_committed handle: the broker
answers only when no transaction of a former owner is pending for them. Then the changelogs' high watermarks, read
uncommitted: the last stable offset may lie before entries that a commit marker on its way will make true. Then the
records, read committed, until the position has reached those watermarks; an end-of-partition at the last stable offset
before them is not the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from streams import clock
from streams.worker.errors import RestoreError
from streams.worker.log import config
from streams.worker.log.asking import answered
from streams.worker.state.index import with_entries
from streams.worker.state.store import OFFSET_KEY, Mark

if TYPE_CHECKING:
    from streams.worker.record import Record
    from streams.worker.state.slice import Slice
    from streams.worker.state.store import Store
    from streams.worker.state.unit import Write

_CHUNK: Final = 5000
_ANSWER_S: Final = 5.0  # for the committed offsets, while a former owner's transaction may be pending
_TOMBSTONE_MS: Final = 12 * 3600 * 1000  # half of the changelogs' delete.retention.ms: older marks may miss deletions

_HANGING_S: Final = 30.0  # no transaction of a worker lasts so long
# A broker (4.3.1) that was killed between preparing the end of a transaction and telling its partitions was seen to
# call it complete after its restart without ever telling them (https://issues.apache.org/jira/browse/KAFKA-20734: a
# partition that has no leader at that moment passes for a deleted one). To go on would repeat what was committed.
_HANGING: Final = (
    "an unfinished transaction holds them back for longer than any lasts: if the broker was killed, it may hang; "
    "see `kafka-transactions.sh find-hanging`"
)

Say = Callable[[str], None]


@dataclass(slots=True)
class _Reading:
    """One changelog partition being read."""

    owner: Slice
    store: Store
    topic_id: str
    position: int
    end: int
    rows: list[tuple[Store, bytes, bytes | None]] = field(default_factory=list)
    count: int = 0


class Restorer:
    """Restore slices with a handle of its own that never joins the group."""

    def __init__(self, client: config.Config, group: str, ledger: str, say: Say) -> None:
        """Read for `group`; `ledger` names the store that keeps applied offsets; `say` gets progress lines."""
        self._client = client
        self._group = group
        self._ledger = ledger
        self._say = say

    def restore(self, owned: Sequence[Slice]) -> dict[Slice, dict[str, int | None]]:
        """Bring `owned` up to date (blocks; any thread) and return the start offsets that differ from the group's.

        Raises RestoreError when a source has fewer records than were committed of it (it was made anew).
        """
        committed = self._committed(owned)
        if not any(one.live for one in owned):
            return {}
        reader = Consumer(config.reader(self._client, self._group), logger=None)
        try:
            readings = self._readings(owned)
            self._read(reader, readings)
        finally:
            reader.close()
        return {one: self._starts(one, committed) for one in owned if one.live}

    def _committed(self, owned: Sequence[Slice]) -> dict[tuple[str, int], int]:
        """Return the group's offsets, asked again until the broker answers: going on without them would lose work.

        Each time by a new handle: one that first asked while the broker was loading its groups was seen to get no
        answer for ever, while others were answered at once.
        """
        wanted = [TopicPartition(topic, one.partition) for one in owned for topic in one.sources]
        began = clock.monotonic()
        while True:
            asker = Consumer(config.reader(self._client, self._group), logger=None)
            try:
                answer = asker.committed(wanted, _ANSWER_S)
            except KafkaException as error:
                if not any(one.live for one in owned):
                    return {}
                self._say(f"waiting for the committed offsets of {len(wanted)} partitions: {error.args[0].str()}")
                if clock.monotonic() - began > _HANGING_S:
                    self._say(_HANGING)
            else:
                return {(place.topic, place.partition): place.offset for place in answer}
            finally:
                asker.close()

    def _readings(self, owned: Sequence[Slice]) -> list[_Reading]:
        stores = [(one, store) for one in owned if one.live for store in one.stores.values()]
        ids = self._topic_ids({store.topic for _, store in stores})
        spots = {(store.topic, store.partition) for _, store in stores}
        lows = self._offsets(spots, OffsetSpec.earliest())
        highs = self._offsets(spots, OffsetSpec.latest())
        readings = []
        for one, store in stores:
            place = (store.topic, store.partition)
            start = self._fitting(store, ids[store.topic], highs[place])
            if start is None:
                store.db.clear(store)  # what is there without a mark is no prefix of the changelog
            position = lows[place] if start is None else max(start, lows[place])
            readings.append(_Reading(one, store, ids[store.topic], position, highs[place]))
        return readings

    def _fitting(self, store: Store, topic_id: str, end: int) -> int | None:
        """Return where to go on from, or None after clearing a store that does not fit its changelog."""
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
            return mark.next_offset
        self._say(f"rebuilding {store.name}/{store.partition}: {why}")
        store.db.clear(store)
        return None

    def _read(self, reader: Consumer, readings: list[_Reading]) -> None:
        open_ = {(r.store.topic, r.store.partition): r for r in readings if r.position < r.end}
        self._finish([r for r in readings if r.position >= r.end])
        if not open_:
            return
        began, told = clock.monotonic(), clock.monotonic()
        total = sum(r.end - r.position for r in open_.values())
        reader.assign([TopicPartition(topic, p, r.position) for (topic, p), r in open_.items()])
        while open_ and any(r.owner.live for r in open_.values()):
            self._take(reader, open_)
            done = [r for r in open_.values() if r.position >= r.end]
            self._finish(done)
            for reading in done:
                del open_[reading.store.topic, reading.store.partition]
            if clock.monotonic() - told > 1.0:
                told = clock.monotonic()
                left = sum(r.end - r.position for r in open_.values())
                self._say(f"restoring: {total - left} of {total} changelog records, {told - began:.0f} s")

    def _take(self, reader: Consumer, open_: dict[tuple[str, int], _Reading]) -> None:
        for message in reader.consume(_CHUNK, 0.1):
            record = cast("Record", message)  # an end of partition has its place and offset, too
            reading = open_.get((record.topic(), record.partition()))
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF and reading is not None:  # noqa: SLF001
                    reading.position = max(reading.position, record.offset())
                elif error.fatal():
                    raise RestoreError(f"cannot read the changelogs: {error.str()}")
                continue
            if reading is not None:
                reading.rows.append((reading.store, record.key() or b"", record.value()))
                reading.position = record.offset() + 1
                reading.count += 1
        for reading in open_.values():
            if reading.rows:
                self._write(reading)

    def _finish(self, readings: list[_Reading]) -> None:
        for reading in readings:
            self._write(reading)
            self._index(reading)
            if reading.count:
                self._say(f"restored {reading.store.name}/{reading.store.partition}: {reading.count} records")

    def _index(self, reading: _Reading) -> None:
        """Make an index that a new store lacks, or that was made for other lookups."""
        with reading.owner.guard:
            if reading.owner.live and not reading.store.db.indexed(reading.store):
                reading.store.db.index(reading.store)

    def _write(self, reading: _Reading) -> None:
        mark = Mark(reading.topic_id, reading.position, clock.now_ms())
        with reading.owner.guard:
            if reading.owner.live:
                reading.store.db.apply(self._rows(reading), [(reading.store.name, mark)])
        reading.rows.clear()

    def _rows(self, reading: _Reading) -> Iterable[Write]:
        """Return what to write for the rows read: with their index entries, unless that is made at the end."""
        store = reading.store
        return with_entries(store, reading.rows) if store.index and store.db.indexed(store) else reading.rows

    def _starts(self, one: Slice, committed: dict[tuple[str, int], int]) -> dict[str, int | None]:
        """Set each source's applied offset; return it where the group's own is missing or behind the ledger's."""
        places = {(topic, one.partition) for topic in one.sources}
        lows, highs = self._offsets(places, OffsetSpec.earliest()), self._offsets(places, OffsetSpec.latest())
        ledger = one.stores.get(self._ledger)
        starts: dict[str, int | None] = {}
        for topic, source in one.sources.items():
            place = (topic, one.partition)
            group = committed.get(place, -1)
            row = ledger.committed(OFFSET_KEY + topic.encode()) if ledger else None
            start = max(group, int(row) if row else -1)
            if start > highs[place]:
                raise RestoreError(
                    f"{topic}/{one.partition} ends at {highs[place]} but {start} was committed: the topic was made "
                    f"anew; reset the group {self._group} and its journal, or restore the topic"
                )
            if 0 <= start < lows[place]:
                self._say(f"{topic}/{one.partition}: records {start} to {lows[place]} are gone by retention, unread")
            source.applied = max(start, lows[place])
            starts[topic] = source.applied if start > group else None
        return starts

    def _topic_ids(self, topics: set[str]) -> dict[str, str]:
        def ask(admin: AdminClient) -> dict[str, str]:
            futures = admin.describe_topics(TopicCollection(sorted(topics)), request_timeout=_ANSWER_S)
            return {topic: str(future.result(_ANSWER_S + 1).topic_id) for topic, future in futures.items()}

        return answered(self._client, ask, self._say)

    def _offsets(self, places: set[tuple[str, int]], spec: OffsetSpec) -> dict[tuple[str, int], int]:
        """Return log ends regardless of open transactions (isolation read_uncommitted)."""
        request = {TopicPartition(topic, partition): spec for topic, partition in places}

        def ask(admin: AdminClient) -> dict[tuple[str, int], int]:
            futures = admin.list_offsets(
                request, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=_ANSWER_S
            )
            return {(at.topic, at.partition): future.result(_ANSWER_S + 1).offset for at, future in futures.items()}

        return answered(self._client, ask, self._say)
