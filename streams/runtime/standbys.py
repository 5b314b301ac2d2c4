"""Copies of stores that others own, updated from the changelogs, and given up to this worker when it is the owner.

A copy is a store of this worker's own folder, as one that it owned before and still has: what makes it a standby is
that a thread goes on reading for it. It reads committed records with a handle that is no member of the group, it writes
to no topic and starts nothing, so one that was stopped and wakes changes nothing but its own files. Its assignment has
no sources and is in no transaction.

A database has one writer. The thread opens and closes copies under a lock; who becomes the owner claims the number
under the same lock, after which the copy's assignment is dead (so no write of it is under way or will start) and its
open database is the owner's; the number is free for a copy again when the owner has closed it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams import clock
from streams.metrics import STANDBY_LAG
from streams.runtime.assignment import PartitionAssignment
from streams.runtime.changelogs import CHUNK
from streams.runtime.errors import ClientLostError
from streams.runtime.partition_store import PartitionDatabase, PartitionStore, StoreOptions

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from streams.runtime.changelogs import ChangelogReader, ChangelogReading, Place
    from streams.runtime.errors import StoreDamagedError
    from streams.runtime.store_index import StoreSpec
    from topics.contact import Contact

log = logging.getLogger(__name__)


_WAIT_S: Final = 0.25  # for records; what trickles is written that often
_LOOK_S: Final = 1.0  # how often the lag is looked at
_PAUSE_S: Final = 10.0  # after trouble
_END_S: Final = 2.0  # for the thread, which may be asking a broker that is away


class Standbys:
    """Keep copies of the partitions that are wanted."""

    def __init__(
        self,
        *,
        copies: int,
        specs: Sequence[StoreSpec],
        folder: Path,
        options: StoreOptions,
        changelogs: ChangelogReader,
        reader: Callable[[], tuple[Consumer, Contact]],
        busy: Callable[[], bool],
        damaged: Callable[[StoreDamagedError], None],
    ) -> None:
        """Keep stores of `specs` under `folder`, by records of `reader`; wait while the worker is `busy` restoring.

        `copies` is how many workers keep one of each partition; `reader` makes a consumer and what watches it.
        """
        self.copies = copies
        self._specs = specs
        self._folder = folder
        self._options = options
        self._changelogs = changelogs
        self._reader = reader
        self._busy = busy
        self._damaged = damaged
        self._lock = threading.Lock()  # held to open, to close and to claim
        self._wanted: frozenset[int] = frozenset()
        self._claimed: set[int] = set()
        self._copies: dict[int, PartitionAssignment] = {}
        self._readings: dict[Place, ChangelogReading] = {}  # of the thread alone
        self._growing: set[Place] = set()  # not yet at the end that they had when they were opened
        self._looked_at = 0.0
        self._halted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streams-standby", daemon=True)
        self.lags: dict[int, int] = {}  # records behind, by partition

    # -- for the worker

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def want(self, numbers: frozenset[int]) -> None:
        """Keep copies of these partitions from now on; those that this worker owns are left out."""
        self._wanted = numbers

    def copied_partitions(self) -> frozenset[int]:
        """Return the partitions that have a copy here."""
        return frozenset(self._copies)

    def find(self, number: int) -> PartitionAssignment | None:
        """Return the copy of a partition; hold its guard and look whether it lives while you read."""
        return self._copies.get(number)

    def claim(self, number: int) -> PartitionDatabase | None:
        """Make partition `number` this worker's own (any thread): keep no copy, and return the open database of one.

        Blocks while a copy is being written.
        """
        with self._lock:
            self._claimed.add(number)
            copy = self._copies.pop(number, None)
            if copy is None:
                return None
            copy.kill()
            warm, copy.db = copy.db, None
            copy.close()
            return warm

    def free(self, number: int) -> None:
        """Allow a copy of `number` again: its database is closed."""
        self._claimed.discard(number)

    def stop(self) -> None:
        """End the thread and close the copies; blocks."""
        self._halted.set()
        if self._thread.is_alive():
            self._thread.join(_END_S)
        self._drop(self.copied_partitions())

    def collect(self) -> Iterator[Metric]:
        """Yield how far the copies are behind."""
        yield STANDBY_LAG.family(((str(number),), behind) for number, behind in sorted(self.lags.items()))

    # -- the thread

    def _run(self) -> None:
        while not self._halted.is_set():
            try:
                self._follow()
            except Exception as error:  # noqa: BLE001 - copies are for later: their trouble must not end who works now
                log.info("standbys stop for %g s: %s", _PAUSE_S, error)
                self._drop(self.copied_partitions())
                self._halted.wait(_PAUSE_S)

    def _follow(self) -> None:
        reader, contact = self._reader()
        self._readings, self._growing, self.lags = {}, set(), {}
        try:
            while not self._halted.is_set():
                self.turn(reader)
                if contact.suspect and contact.lost(reader, self._specs[0].topic):
                    raise ClientLostError("the reader of changelogs has lost the brokers, and another takes its place")
        finally:
            reader.close()

    def turn(self, reader: Consumer) -> None:
        """Open and close what is called for, then read for a moment."""
        if self._busy() or not (self._wanted or self._readings):
            self._halted.wait(_WAIT_S)
            return
        self._adjust(reader)
        began = clock.monotonic()
        taken = self._changelogs.take(reader, self._readings, _WAIT_S)
        for place in [place for place in self._growing if self._readings[place].position >= self._readings[place].end]:
            self._changelogs.finish(self._readings[place])
            self._growing.discard(place)
        self._look(reader)
        if taken >= CHUNK:
            self._halted.wait(clock.monotonic() - began)  # half of the time is for who works

    def _adjust(self, reader: Consumer) -> None:
        wanted = self._wanted
        self._drop(self.copied_partitions() - wanted)
        fresh = [
            copy for number in sorted(wanted - self.copied_partitions()) if (copy := self._open(number)) is not None
        ]
        if not fresh and all(reading.owner.live for reading in self._readings.values()):
            return
        self._readings = {place: reading for place, reading in self._readings.items() if reading.owner.live}
        for reading in self._changelogs.readings(fresh) if fresh else ():
            self._readings[reading.place] = reading
            self._growing.add(reading.place)
        self._growing &= self._readings.keys()
        reader.assign([TopicPartition(*place, reading.position) for place, reading in self._readings.items()])
        self.lags = {number: lag for number, lag in self.lags.items() if number in self._copies}

    def _open(self, number: int) -> PartitionAssignment | None:
        with self._lock:
            if number in self._claimed or self._halted.is_set():
                return None
            copy = PartitionAssignment(number, {})
            copy.db = db = PartitionDatabase(self._folder / str(number), self._options, damaged=self._damaged)
            copy.stores = {
                spec.name: PartitionStore(db, spec.name, spec.topic, number, spec.index) for spec in self._specs
            }
            self._copies[number] = copy
        if db.rebuilt:  # not the copy's any more, if it was claimed meanwhile
            log.info("standby store of partition %s was damaged and is rebuilt: %s", number, db.rebuilt)
        return copy

    def _drop(self, numbers: frozenset[int]) -> None:
        """Close copies; their files stay for the next time."""
        for number in numbers:
            with self._lock:
                copy = self._copies.pop(number, None)
                if copy is not None:
                    copy.kill()
                    copy.close()

    def _look(self, reader: Consumer) -> None:
        if clock.monotonic() - self._looked_at < _LOOK_S:
            return
        self._looked_at = clock.monotonic()
        lags = dict.fromkeys(self._copies, 0)
        for place, reading in self._readings.items():
            if place[1] in lags:
                lags[place[1]] += max(self._end(reader, place, reading) - reading.position, 0)
        self.lags = lags

    def _end(self, reader: Consumer, place: Place, reading: ChangelogReading) -> int:
        """Return the end of a changelog as of the last fetch; before the first one, as it was at the opening."""
        try:
            return max(reader.get_watermark_offsets(TopicPartition(*place), cached=True)[1], reading.end)
        except KafkaException:
            return reading.end
