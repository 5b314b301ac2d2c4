"""Whether this worker may answer for a key: it owns the partition, restored, and has proven so lately."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from topics.partition import partition_of

if TYPE_CHECKING:
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.runtime import Runtime

T = TypeVar("T")


class NotOwnerError(Exception):
    """Raised when another worker owns the key: ask again with fresh placement."""


class NotReadyError(Exception):
    """Raised when this worker cannot answer yet: it is restoring, or has not proven its ownership lately."""


class OwnershipCheck:
    """Finds the assignment of a key and refuses to answer from one that may be another's by now."""

    def __init__(self, runtime: Runtime) -> None:
        """Answer for the assignments of `runtime`."""
        self._runtime = runtime

    @property
    def partitions(self) -> int:
        """Return the shared count of partitions."""
        return self._runtime.partitions

    def assignment_of(self, key: str) -> PartitionAssignment:
        """Return the assignment that owns `key`; raises NotOwnerError or NotReadyError."""
        if not self._runtime.opened.is_set():
            raise NotReadyError("this worker is starting")
        owned = self._runtime.assignments.get(partition_of(key.encode(), self._runtime.partitions))
        if owned is None:
            raise NotOwnerError("another worker owns this key")
        self.check(owned)
        return owned

    def assignments(self) -> list[PartitionAssignment]:
        """Return all assignments, for scans; raises NotReadyError."""
        owned = [one for one in self._runtime.assignments.values() if one.live]
        if owned:
            self.check(owned[0])
        return owned

    def check(self, owned: PartitionAssignment) -> None:
        """Raise NotReadyError unless the assignment is live and a recent transaction has proved the membership."""
        if not (owned.live and owned.ready):
            raise NotReadyError("this partition is being restored")
        if not self._runtime.committer.proven():
            raise NotReadyError("this worker has not reached the broker lately")

    def of_copy(self, key: str, store: str, read: Callable[[PartitionAssignment], T]) -> tuple[T, dict[str, Any]]:
        """Return what `read` finds in the copy of the key's partition, and how far that is; blocks while it is written.

        Raises NotOwnerError where there is no copy, NotReadyError while its `store` is empty.
        """
        standbys = self._runtime.standbys
        copy = None if standbys is None else standbys.find(partition_of(key.encode(), self._runtime.partitions))
        if copy is None:
            raise NotOwnerError("no copy of this partition is kept here")
        with copy.guard:
            if not copy.live or copy.db is None:
                raise NotOwnerError("the copy of this partition has gone")
            mark = copy.db.mark(store)
            if mark is None:
                raise NotReadyError("the copy of this partition is being built")
            place = {"topic": copy.stores[store].topic, "partition": copy.partition, "offset": mark.next_offset - 1}
            return read(copy), {**place, "stale": True}

    async def applied(self, owned: PartitionAssignment, topic: str, offset: int, seconds: float) -> None:
        """Wait until the assignment has applied `offset` of `topic`; raises NotReadyError when it has not in time."""
        source = owned.sources.get(topic)
        if source is None:
            raise NotReadyError(f"this worker does not read {topic}")
        late = NotReadyError(f"offset {offset} of {topic} is not applied yet")
        try:
            async with asyncio.timeout(seconds):
                await source.reached(offset)
        except TimeoutError:
            raise late from None
        if source.applied <= offset:  # the partition went while it was waited for
            raise late
