"""Bring an assignment's stores up to its changelogs before any of its records is handled.

The order is what makes it right. First the committed offsets of all sources, by a read_committed handle: the broker
answers only when no transaction of a former owner is pending for them. Then the changelogs' high watermarks, read
uncommitted: the last stable offset may lie before entries that a commit marker on its way will make true. Then the
records, read committed, until the position has reached those watermarks; an end-of-partition at the last stable offset
before them is not the end.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from streams import clock
from streams.runtime import client_config
from streams.runtime.assignment import OFFSET_KEY
from streams.runtime.changelogs import ChangelogReader
from streams.runtime.cluster_queries import RetryPauses
from streams.runtime.errors import RestoreError
from streams.runtime.fencing import end_open_transactions
from streams.runtime.retention_gaps import RetentionGap, RetentionGaps

if TYPE_CHECKING:
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.changelogs import ChangelogReading, Place

log = logging.getLogger(__name__)


_WAIT_S: Final = 0.1  # for records of changelogs
_FIRST_ANSWER_S: Final = 1.5
_ANSWER_S: Final = 5.0  # for the committed offsets, while a former owner's transaction may be pending
_HANGING_S: Final = client_config.TRANSACTION_TIMEOUT_S + 10.0  # no transaction of a worker lasts so long
_SILENT_S: Final = 10.0  # after that another reader is made: this one may have nobody to ask any more
# A broker of Kafka 4.3.0 to 4.4.0 that was killed between preparing the end of a transaction and telling its partitions
# may call it complete after its restart without ever telling them: a partition that has no leader at that moment passes
# for a deleted one (https://issues.apache.org/jira/browse/KAFKA-20734). To go on would repeat what was committed.
_HANGING: Final = (
    "an unfinished transaction holds them back for longer than any lasts: if the broker was killed, it may hang; "
    "see `kafka-transactions.sh find-hanging`"
)


class Restorer:
    """Restore assignments with a handle of its own that never joins the group."""

    def __init__(self, client: client_config.Config, group: str, ledger: str, gaps: RetentionGaps) -> None:
        """Read for `group`; `ledger` names the store that has the applied offsets.

        `gaps` gets what was deleted before it was read.
        """
        self._gaps = gaps
        self._client = client
        self._group = group
        self._ledger = ledger
        self._changelogs = ChangelogReader(client)

    def restore(self, owned: Sequence[PartitionAssignment]) -> None:
        """Bring `owned` up to date and set what is applied of each source (blocks; any thread).

        Raises RestoreError when a source has fewer records than were committed of it (it was made anew).
        """
        committed = self._committed(owned)
        if not any(one.live for one in owned):
            return
        self._read(self._changelogs.readings(owned))
        for one in owned:
            if one.live:
                self._starts(one, committed)

    def _committed(self, owned: Sequence[PartitionAssignment]) -> dict[tuple[str, int], int]:
        """Return the group's offsets, asked again until the broker answers: going on without them would lose work.

        Each time by a new handle: one that first asked while the broker was loading its groups was seen to get no
        answer for ever, while others were answered at once. The first try is short: a dead owner's open transaction
        holds the answer back, and is ended then.
        """
        wanted = [TopicPartition(topic, one.partition) for one in owned for topic in one.sources]
        began, pauses, patience = clock.monotonic(), RetryPauses(math.inf), _FIRST_ANSWER_S
        while True:
            asker = Consumer(client_config.reader(self._client, self._group), logger=None)
            try:
                answer = asker.committed(wanted, patience)
            except KafkaException as error:
                if not any(one.live for one in owned):
                    return {}
                patience = _ANSWER_S
                end_open_transactions(self._client, self._group, wanted)
                log.info("waiting for the committed offsets of %s partitions: %s", len(wanted), error.args[0].str())
                if clock.monotonic() - began > _HANGING_S:
                    log.info("%s", _HANGING)
                pauses.over()
            else:
                return {(place.topic, place.partition): place.offset for place in answer}
            finally:
                asker.close()

    def _read(self, readings: list[ChangelogReading]) -> None:
        """Read until all ends are reached; a reader that stands still is replaced by a new one."""
        open_ = {r.place: r for r in readings if r.position < r.end}
        self._finish([r for r in readings if r.position >= r.end])
        if not open_:
            return
        began, total = clock.monotonic(), sum(r.end - r.position for r in open_.values())
        while open_ and any(r.owner.live for r in open_.values()):
            reader = Consumer(client_config.reader(self._client, self._group), logger=None)
            try:
                self._read_on(reader, open_, began, total)
            finally:
                reader.close()

    def _read_on(self, reader: Consumer, open_: dict[Place, ChangelogReading], began: float, total: int) -> None:
        """Read by one reader until all is read, nobody wants it any more, or nothing came for long."""
        reported = moved = clock.monotonic()
        reader.assign([TopicPartition(topic, p, r.position) for (topic, p), r in open_.items()])
        while open_ and any(r.owner.live for r in open_.values()):
            if self._changelogs.take(reader, open_, _WAIT_S):
                moved = clock.monotonic()
            elif clock.monotonic() - moved > _SILENT_S:
                log.info("restoring: nothing came for %.0f s, %s partitions wait: reading anew", _SILENT_S, len(open_))
                return
            done = [r for r in open_.values() if r.position >= r.end]
            self._finish(done)
            for reading in done:
                del open_[reading.place]
            if clock.monotonic() - reported > 1.0:
                reported = clock.monotonic()
                left = sum(r.end - r.position for r in open_.values())
                log.info("restoring: %s of %s changelog records, %.0f s", total - left, total, reported - began)

    def _finish(self, readings: list[ChangelogReading]) -> None:
        for reading in readings:
            self._changelogs.finish(reading)
            if reading.count:
                log.info("restored %s/%s: %s records", reading.store.name, reading.store.partition, reading.count)

    def _starts(self, one: PartitionAssignment, committed: dict[tuple[str, int], int]) -> None:
        """Set each source's applied offset: the group's, or the ledger's where that one is missing or behind."""
        places = {(topic, one.partition) for topic in one.sources}
        offsets = self._changelogs.offsets
        lows, highs = offsets(places, OffsetSpec.earliest()), offsets(places, OffsetSpec.latest())
        ledger = one.stores.get(self._ledger)
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
                self._gaps.found(RetentionGap(topic, one.partition, start, lows[place]))
            source.applied = max(start, lows[place])
