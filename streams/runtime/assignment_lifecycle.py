"""The life cycle of assignments in the event loop: restore, ready, drain, close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from streams import clock
from streams.metrics import RESTORE, Observations
from streams.runtime.partition_store import PartitionDatabase, PartitionStore, StoreOptions
from streams.runtime.record import weight_of

if TYPE_CHECKING:
    from streams.runtime.assignment import PartitionAssignment, SourcePartition
    from streams.runtime.committer import Committer
    from streams.runtime.consumer_thread import AssignmentListener, ConsumerThread
    from streams.runtime.record import ConsumedRecord
    from streams.runtime.restore import Restorer
    from streams.runtime.standbys import Standbys
    from streams.runtime.store_index import StoreSpec

log = logging.getLogger(__name__)


_DRAIN_S: Final = 2.0  # how long a revocation waits for what has been started
_LEAVE_S: Final = 3 * _DRAIN_S  # for that and for its commit, by another clock than the event loop's


class LifecycleEvents(Protocol):
    """What happens to assignments, in the event loop."""

    def deliver(self, source: SourcePartition, messages: list[ConsumedRecord]) -> None:
        """Handle fetched records of an assignment that is ready."""

    async def assignment_ready(self, owned: PartitionAssignment) -> None:
        """Go on with open work of a restored assignment, before any record of it comes."""

    def assignments_changed(self) -> None:
        """Take note that assignments came or went."""

    def is_at_work(self, owned: PartitionAssignment) -> bool:
        """Return whether something of an assignment is under way whose outcome would be lost with it."""

    @property
    def crash(self) -> Callable[[Exception], None]:
        """What ends the process with an error."""


class AssignmentLifecycle:
    """Receive assignments from the consumer's thread; restore, start, drain and close them."""

    def __init__(
        self,
        *,
        specs: Sequence[StoreSpec],
        folder: Path,
        options: StoreOptions,
        restorer: Restorer,
        thread: Callable[[AssignmentListener], ConsumerThread],
        committer: Committer,
        events: LifecycleEvents,
        spawn: Callable[[Coroutine[object, object, None]], object],
        probe: Callable[[str], None],
        standbys: Standbys | None = None,
    ) -> None:
        """Open stores of `specs` under `folder`; `events` gets records and changes.

        `thread` makes the consumer's thread, which this object owns and listens to. A store of which `standbys` has a
        copy is taken over from there.
        """
        self._standbys = standbys
        self._loop = asyncio.get_running_loop()
        self._specs = specs
        self._folder = folder
        self._options = options
        self._restorer = restorer
        self._committer = committer
        self._events = events
        self._spawn = spawn
        self._probe = probe
        self._waiting: list[PartitionAssignment] = []
        self._assigned_at: dict[PartitionAssignment, float] = {}  # monotonic seconds, until they are served
        self.restore_seconds = Observations(RESTORE)
        self._restoring = False
        self._opening: list[
            PartitionAssignment
        ] = []  # in the hands of the restoring thread, which must not lose its database
        self.thread = thread(self)
        self.assignments: dict[int, PartitionAssignment] = {}
        self.progress = asyncio.Event()  # set whenever a batch or an effect has ended

    @property
    def restoring(self) -> bool:
        """Return whether partitions are assigned that are not restored yet."""
        return self._restoring or bool(self._waiting)

    # -- called in the consumer's thread

    def assigned(self, owned: PartitionAssignment) -> None:
        """Queue an assignment for restore."""
        self._loop.call_soon_threadsafe(self._queue, owned)

    def leave(self, gone: Sequence[PartitionAssignment]) -> None:
        """Wait some seconds for started work to finish and commit, also when the event loop is blocked."""
        drained = asyncio.run_coroutine_threadsafe(self._drain(gone), self._loop)
        try:
            drained.result(_LEAVE_S)
        except TimeoutError:
            drained.cancel()
            log.info("the event loop is blocked: partitions that had to go were not drained")

    def died(self, gone: Sequence[PartitionAssignment]) -> None:
        """Close `gone`: no transaction includes them any more."""
        self._loop.call_soon_threadsafe(self._close_all, gone)

    def deliver(self, records: dict[SourcePartition, list[ConsumedRecord]]) -> None:
        """Pass fetched records to the event loop, in one call."""
        self._loop.call_soon_threadsafe(self._hand, records)

    def failed(self, error: Exception) -> None:
        """End the process."""
        self._loop.call_soon_threadsafe(self._events.crash, error)

    # -- in the event loop

    def _hand(self, records: dict[SourcePartition, list[ConsumedRecord]]) -> None:
        for source, messages in records.items():
            owned = source.assignment
            if owned is not None and owned.live and owned.ready:
                self._events.deliver(source, messages)
            else:
                self.thread.release(weight_of(messages))

    def _queue(self, owned: PartitionAssignment) -> None:
        self._waiting.append(owned)
        self._assigned_at[owned] = clock.monotonic()
        if not self._restoring:
            self._restoring = True
            self._spawn(self._restore())

    async def _restore(self) -> None:
        """Restore all waiting assignments together; those that arrive meanwhile are the next round."""
        try:
            while self._waiting:
                batch, self._waiting = [one for one in self._waiting if one.live], []
                self._assigned_at = {one: self._assigned_at[one] for one in batch}
                for one in batch:
                    await self._await_predecessor(one)
                self._opening = batch
                await asyncio.to_thread(self._open, batch)
                self._opening = []
                for one in batch:
                    await self._start(one)
        except Exception as error:  # noqa: BLE001 - an assignment that cannot be restored must stop the worker, loudly
            self._events.crash(error)
        finally:
            self._restoring = False

    async def _await_predecessor(self, one: PartitionAssignment) -> None:
        """Close a former assignment of this number first: two handles on one database are refused by its lock."""
        former = self.assignments.get(one.partition)
        if former is not None and former is not one:
            self._close_all([former])

    def _open(self, batch: Sequence[PartitionAssignment]) -> None:
        for one in batch:
            one.db = db = self._database(one.partition)
            one.stores = {
                spec.name: PartitionStore(db, spec.name, spec.topic, one.partition, spec.index) for spec in self._specs
            }
        self._probe("restoring")
        self._restorer.restore(batch)
        self._probe("restored")

    def _database(self, number: int) -> PartitionDatabase:
        """Open the database of a partition, or take over the open one of its standby."""
        warm = None if self._standbys is None else self._standbys.claim(number)
        if warm is not None:
            log.info("partition %s is taken over from the standby here", number)
            return warm
        db = PartitionDatabase(self._folder / str(number), self._options, damaged=self._events.crash)
        if db.rebuilt:
            log.info("store of partition %s was damaged and is rebuilt: %s", number, db.rebuilt)
        return db

    def _close(self, one: PartitionAssignment) -> None:
        """Close an assignment; once its database is closed a standby copy may be made of it."""
        held = one.db is not None
        one.close()
        if held and self._standbys is not None:
            self._standbys.free(one.partition)

    async def _start(self, one: PartitionAssignment) -> None:
        assigned_at = self._assigned_at.pop(one, None)
        if not one.live:
            self._close(one)
            return
        self.assignments[one.partition] = one
        await self._events.assignment_ready(one)
        self.thread.begin(one)
        if assigned_at is not None:
            self.restore_seconds.observe(clock.monotonic() - assigned_at)
        self._events.assignments_changed()

    async def _drain(self, gone: Sequence[PartitionAssignment]) -> None:
        self._probe("draining")
        for one in gone:
            one.ready, one.draining = False, True
            for source in one.sources.values():
                while source.queue and not source.queue[-1].started:
                    withdrawn = source.queue.pop()
                    withdrawn.withdrawn = True  # it lies in an agent's inbox still
                    self.thread.release(withdrawn.weight())
        try:
            async with asyncio.timeout(_DRAIN_S):
                while any(self._is_at_work(one) for one in gone):
                    self.progress.clear()
                    await self.progress.wait()
        except TimeoutError:
            log.info("work was still under way when its partitions had to go; it is done again elsewhere")
        await self._committer.drain(_DRAIN_S)

    def _is_at_work(self, one: PartitionAssignment) -> bool:
        return any(source.queue for source in one.sources.values()) or self._events.is_at_work(one)

    def _close_all(self, gone: Sequence[PartitionAssignment]) -> None:
        for one in gone:
            for source in one.sources.values():
                self.thread.release(sum(batch.weight() for batch in source.queue if not batch.taken))
                source.queue.clear()
            if self.assignments.get(one.partition) is one:
                del self.assignments[one.partition]
            if one not in self._opening:
                self._close(one)
        self._events.assignments_changed()
