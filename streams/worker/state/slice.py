"""A slice: one partition number under one assignment; whatever works for it hangs on it and dies with it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.worker.state.batch import Batch
    from streams.worker.state.store import PartitionDb, Store


class Source:
    """One source topic's partition within a slice: batches in order, and how far they are committed."""

    __slots__ = ("applied", "queue", "slice", "topic")

    def __init__(self, topic: str) -> None:
        """Make the source before its slice is complete; `slice` is set when all co-partitions are here."""
        self.topic = topic
        self.slice: Slice | None = None
        self.queue: deque[Batch] = deque()
        self.applied = -1  # next offset to process, as committed; -1: nothing known yet

    @property
    def partition(self) -> int:
        """Return the partition number."""
        return self.owner.partition

    @property
    def owner(self) -> Slice:
        """Return the slice; only complete slices have batches."""
        if self.slice is None:
            raise RuntimeError(f"source {self.topic} has no slice yet")
        return self.slice


class Slice:
    """Everything of partition number `partition` that this process owns, from assignment to revocation.

    Sources of one number are owned together (the `range` assignor co-partitions them), so their events, state,
    journal and timers sit in one process. A late task, answer or store write of an ended assignment finds `live`
    false and reaches nothing, also when the same partition has come back meanwhile as another slice.
    """

    __slots__ = ("db", "guard", "live", "on_death", "partition", "ready", "sources", "stores")

    def __init__(self, partition: int, sources: dict[str, Source]) -> None:
        """Bind `sources` (topic to source) to a new assignment of `partition`."""
        self.partition = partition
        self.sources = sources
        self.live = True
        self.ready = False
        self.db: PartitionDb | None = None
        self.stores: dict[str, Store] = {}
        self.guard = threading.Lock()  # held while the store is written, and to die
        self.on_death: list[Callable[[], None]] = []
        for source in sources.values():
            source.slice = self

    def __repr__(self) -> str:
        """Show number and state."""
        return f"<slice {self.partition} {'live' if self.live else 'dead'}>"

    def kill(self) -> None:
        """End the assignment (any thread): after return no store write of it is under way or will start."""
        with self.guard:
            self.live = False

    def bury(self) -> None:
        """Release what hangs on a dead slice (event loop)."""
        self.ready = False
        for callback in self.on_death:
            callback()
        self.on_death.clear()
        if self.db is not None:
            self.db.close()
            self.db = None

    def fence(self) -> Source:
        """Return the source whose current offset proves ownership when a transaction moves none."""
        return next(iter(self.sources.values()))
