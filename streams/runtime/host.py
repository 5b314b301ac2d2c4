"""What a program that runs on the runtime may do at its events; every method has a default that does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from streams.runtime.assignment import PartitionAssignment, SourcePartition
    from streams.runtime.batch import RecordBatch
    from streams.runtime.commit_unit import Write
    from streams.runtime.partition_store import DeferredRow
    from streams.runtime.record import ConsumedRecord


class RecordSink(Protocol):
    """Where fetched records go: `streams.runtime.faust.consumer.Consumer` is one."""

    def deliver(self, source: SourcePartition, messages: list[ConsumedRecord]) -> None:
        """Hand over records of an assignment that is ready."""

    def assignments_changed(self) -> None:
        """Take note that assignments came or went."""


class RuntimeHost:
    """The program on a runtime: a subclass overrides what it needs."""

    async def assignment_ready(self, owned: PartitionAssignment) -> None:
        """Go on with open work of a restored assignment, before any record of it comes."""

    def assignments_changed(self) -> None:
        """Take note that assignments came or went."""

    def is_busy(self) -> bool:
        """Return whether something is under way that will be ready in a turn or two of the event loop."""
        return False

    def is_at_work(self, owned: PartitionAssignment) -> bool:
        """Return whether something of an assignment is under way that a drain should wait for."""
        del owned
        return False

    def deferred_rows(
        self, owned: PartitionAssignment, changes: Sequence[DeferredRow]
    ) -> tuple[list[Write], list[Write]]:
        """Return the rows of what units of `owned` change late, given what is committed; runs in the commit thread.

        The first rows have a changelog; the second ones only the store has.
        """
        del owned, changes
        return [], []

    def keep_rejected(self, batch: RecordBatch, error: Exception) -> bool:
        """Add the dead letter of a record whose outcome the broker refuses to its `batch`.

        Return whether that was done; the process ends otherwise.
        """
        del batch, error
        return False
