"""Tables and reactions that were left behind read what they missed from the log, while the partition goes on.

A partition was with a worker whose code lacks them. Each missed record is handled for them alone, in order, in units
that also say how far they are, so nothing is handled twice, whoever owns the partition next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from schemas.attributes import new_id
from schemas.consumer import ConsumersDeclared
from schemas.parked_event import ParkedEvent
from streams.journal.dead_letters import dead_letter
from streams.journal.parked_record import ParkedRecord
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.commit_wait import committed
from streams.runtime.errors import DeadAssignmentError, RecordRefusedError
from streams.runtime.retention_gaps import RetentionGap, RetentionGaps
from topics.errors import TopicError
from topics.reader import offsets, read

if TYPE_CHECKING:
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.runtime import Runtime
    from streams.worker.events.consumer_positions import ConsumerPositions
    from streams.worker.events.event_bus import EventBus
    from topics.kafka import KafkaConfig
    from topics.reader import RawRecord

log = logging.getLogger(__name__)

_CHUNK: Final = 500  # records in one unit
_FIRST_S: Final = 1.0  # until the next try after the broker did not answer, doubled with each
_MOST_S: Final = 30.0

Read = Callable[[int, int, int], Iterator["RawRecord"]]
"""Yields the records of a partition of the bus between two offsets; blocks; raises TopicError."""


class CatchUp:
    """One task an assignment, for as long as a consumer of it is behind."""

    def __init__(
        self, runtime: Runtime, bus: EventBus, positions: ConsumerPositions, writer: RecordWriter, read_: Read
    ) -> None:
        """Handle by `bus` what `read_` finds."""
        self._runtime = runtime
        self._bus = bus
        self._positions = positions
        self._writer = writer
        self._read = read_
        self._declared: frozenset[str] = frozenset()  # new consumers that this process has declared

    def restored(self, owned: PartitionAssignment) -> None:
        """Begin with a restored assignment, whose positions are known."""
        new = self._positions.unknown(owned)
        unit = self._positions.restored(owned)
        if unit is not None:
            self._declare(unit, new - self._declared)
            self._runtime.committer.add(unit)
        self._runtime.tasks.spawn(self._run(owned))

    def _declare(self, unit: CommitUnit, new: frozenset[str]) -> None:
        """Let new consumers begin in all other partitions too; a process says that of each once."""
        if not new:
            return
        self._declared |= new
        owned = unit.assignment
        owned.on_death.append(lambda: self._undeclare(unit, new))
        self._writer.spread(
            unit,
            ConsumersDeclared(consumers=sorted(new)),
            id=new_id(),
            key="consumers",
            partitions=[number for number in range(self._runtime.partitions) if number != owned.partition],
            extra={},
        )

    def _undeclare(self, unit: CommitUnit, new: frozenset[str]) -> None:
        if not unit.committed:
            self._declared -= new

    async def _run(self, owned: PartitionAssignment) -> None:
        """Read until nobody is behind; while no broker answers that is logged once, and tried again."""
        pause = _FIRST_S
        while owned.live:
            late, end = self._positions.late(owned)
            if not late:
                return
            try:
                await self._pass(owned, min(late.values()), end)
                pause = _FIRST_S
            except DeadAssignmentError:
                return
            except TopicError as error:
                if pause == _FIRST_S:
                    log.warning("partition %d: %s are behind and cannot read: %s", owned.partition, _names(late), error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _MOST_S)

    async def _pass(self, owned: PartitionAssignment, start: int, end: int) -> None:
        """Read from `start` to `end`, and handle what is found a piece at a time."""
        log.info("partition %d: events %d to %d are read again for who missed them", owned.partition, start, end)
        found = await asyncio.to_thread(self._read, owned.partition, start, end)
        recent: set[bytes] = set()
        while owned.live:
            records = [_parked_record(raw) for raw in await asyncio.to_thread(lambda: list(islice(found, _CHUNK)))]
            last = len(records) < _CHUNK
            await self._bus.room(owned)
            recent = await self._handle(owned, records, end if last else records[-1].offset() + 1, recent)
            if last:
                return

    async def _handle(
        self, owned: PartitionAssignment, records: Sequence[ParkedRecord], end: int, before: set[bytes]
    ) -> set[bytes]:
        """Handle `records`, behind which `end` comes, in one unit; return their ids, `before` are those just before.

        A unit that the broker refuses is cut in halves, until the record to blame is alone and a dead letter.
        """
        late = self._positions.late(owned)[0]
        names = {name for name, offset in late.items() if offset < end}
        unit, recent = CommitUnit(owned), set[bytes]()
        for record in records:
            wanting = {name for name in names if late[name] <= record.offset()}
            self._bus.late(unit, record, wanting, before, recent)
        self._positions.advance(unit, names, end)
        try:
            await committed(self._runtime.committer, unit)
        except RecordRefusedError as error:
            await self._refused(owned, records, end, before, error)
        return recent

    async def _refused(
        self,
        owned: PartitionAssignment,
        records: Sequence[ParkedRecord],
        end: int,
        before: set[bytes],
        error: RecordRefusedError,
    ) -> None:
        half = len(records) // 2
        if half:
            recent = await self._handle(owned, records[:half], records[half].offset(), before)
            await self._handle(owned, records[half:], end, before | recent)
            return
        late = self._positions.late(owned)[0]
        unit = CommitUnit(owned)
        for name in late if records else ():
            dead_letter(unit, self._writer, records[0], error, self._bus.consumer(name))
        self._positions.advance(unit, late, end)
        await committed(self._runtime.committer, unit)


def reading(kafka: KafkaConfig, topic: str, gaps: RetentionGaps) -> Read:
    """Return what reads the bus; `gaps` gets what retention has deleted meanwhile."""

    def records(number: int, start: int, end: int) -> Iterator[RawRecord]:
        first = offsets(kafka, topic, "earliest", partitions=[number])[number]
        if first > start:
            gaps.found(RetentionGap(topic, number, start, min(first, end)))
        return read(kafka, topic, start=start, end=end, partitions=[number])

    return records


def _parked_record(raw: RawRecord) -> ParkedRecord:
    headers = {name: value or b"" for name, value in raw.headers}
    row = ParkedEvent(
        reaction="",
        lane="",
        event_id="",
        source_topic=raw.topic,
        source_partition=raw.partition,
        source_offset=raw.offset,
        key=raw.key,
        value=raw.value,
        headers=headers,
        timestamp_ms=raw.timestamp,
    )
    return ParkedRecord(row)


def _names(late: dict[str, int]) -> str:
    return ", ".join(sorted(late))
