"""The assignment of one partition number to this worker, and all state that ends with it."""

from __future__ import annotations

import asyncio
import heapq
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from streams.runtime.partition_store import PartitionDatabase, PartitionStore


OFFSET_KEY: Final = b"o/"  # in the ledger store: applied offset by source topic


class QueuedBatch(Protocol):
    """A batch in the queue of its source: `streams.runtime.batch.RecordBatch` is one."""

    started: bool
    taken: bool
    withdrawn: bool

    def weight(self) -> int:
        """Return what its records weigh, in bytes (for back-pressure)."""


class SourcePartition:
    """One source topic's partition within an assignment: batches in order, and how far they are committed."""

    __slots__ = ("_waiting", "applied", "assignment", "end", "given", "queue", "topic")

    def __init__(self, topic: str) -> None:
        """Make the source partition; its assignment sets `assignment`."""
        self.topic = topic
        self.assignment: PartitionAssignment | None = None
        self.queue: deque[QueuedBatch] = deque()
        self.applied = -1  # next offset to process, as committed; -1: nothing known yet
        self.given = -1  # offset behind the last record that the consumer gave; written by its thread only, as `end`
        self.end = (-1, -1)  # `given` when the consumer last came to the partition's end, and where that was
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []  # a heap; the number keeps futures apart

    def advance(self, offset: int) -> None:
        """Set the next offset to process, and wake all who wait for a lower one."""
        self.applied = offset
        while self._waiting and self._waiting[0][0] < offset:
            _wake(heapq.heappop(self._waiting)[2])

    async def reached(self, offset: int) -> None:
        """Wait until the record at `offset` is applied, or the assignment is closed."""
        if self.applied > offset or (self.assignment is not None and not self.assignment.live):
            return
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (offset, id(waiter), waiter))
        await waiter

    @property
    def position(self) -> int:
        """Return the next offset to process, past the markers and aborted records that nobody is ever given."""
        given, end = self.end
        return max(self.applied, end if self.applied >= given else 0, 0)

    def release(self) -> None:
        """Wake all waiters: what they wait for is not applied here any more."""
        waiting, self._waiting = self._waiting, []
        for _, _, waiter in waiting:
            _wake(waiter)

    @property
    def partition(self) -> int:
        """Return the partition number."""
        return self.owner.partition

    @property
    def owner(self) -> PartitionAssignment:
        """Return the assignment."""
        if self.assignment is None:
            raise RuntimeError(f"source {self.topic} has no assignment yet")
        return self.assignment


class PartitionAssignment:
    """Everything of partition number `partition` that this process owns, from assignment to revocation.

    The sources of one number are owned together (the group shares out numbers, see `streams.runtime.consumer_thread`),
    so their events, state, journal and timers sit in one process. A late task, answer or store write of an ended
    assignment finds `live` false and reaches nothing, also when the same partition has come back meanwhile as another
    assignment.
    """

    __slots__ = ("db", "draining", "guard", "live", "on_death", "partition", "ready", "sources", "stores")

    def __init__(self, partition: int, sources: dict[str, SourcePartition]) -> None:
        """Bind `sources` (topic to source) to a new assignment of `partition`."""
        self.partition = partition
        self.sources = sources
        self.live = True
        self.ready = False
        self.draining = False  # it goes to another worker: nothing new begins
        self.db: PartitionDatabase | None = None
        self.stores: dict[str, PartitionStore] = {}
        self.guard = threading.Lock()  # held while the store is written, and to die
        self.on_death: list[Callable[[], None]] = []
        for source in sources.values():
            source.assignment = self

    def __repr__(self) -> str:
        """Show number and state."""
        return f"<assignment {self.partition} {'live' if self.live else 'dead'}>"

    def kill(self) -> None:
        """End the assignment (any thread): after return no store write of it is under way or will start."""
        with self.guard:
            self.live = False

    def close(self) -> None:
        """Run the callbacks of a dead assignment and close its database (event loop)."""
        self.ready = False
        for source in self.sources.values():
            source.release()
        for callback in self.on_death:
            callback()
        self.on_death.clear()
        if self.db is not None:
            self.db.close()
            self.db = None

    def fence(self) -> SourcePartition:
        """Return the source whose current offset proves ownership when a transaction moves none."""
        return next(iter(self.sources.values()))


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():  # whoever waited may have given up
        waiter.set_result(None)
