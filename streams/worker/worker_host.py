"""What the product does at the events of the runtime below it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from streams.journal.dead_letters import dead_letter, taker_of
from streams.runtime.host import RuntimeHost

if TYPE_CHECKING:
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.batch import RecordBatch
    from streams.runtime.commit_unit import Write
    from streams.runtime.partition_store import DeferredRow
    from streams.worker.heartbeat import Heartbeat
    from streams.worker.runs.effects import EffectRunner
    from streams.worker.runs.run_index import RunIndex

Restored = Callable[["PartitionAssignment"], Awaitable[None] | None]


class WorkerHost(RuntimeHost):
    """The worker on its runtime."""

    def __init__(
        self,
        restored: Sequence[Restored],
        *,
        heartbeat: Heartbeat,
        effects: EffectRunner,
        index: RunIndex,
        writer: RecordWriter,
    ) -> None:
        """Each of `restored`, in this order, takes over what a restored assignment holds for it."""
        self._restored = tuple(restored)
        self._heartbeat = heartbeat
        self._effects = effects
        self._index = index
        self._writer = writer

    async def assignment_ready(self, owned: PartitionAssignment) -> None:
        """Let each part go on with its work in the assignment."""
        for take_over in self._restored:
            pending = take_over(owned)
            if pending is not None:
                await pending

    def assignments_changed(self) -> None:
        """Notify gateways soon of what this worker owns now."""
        self._heartbeat.changed()

    def is_busy(self) -> bool:
        """Return whether an effect computes something that will be ready at once."""
        return self._effects.computing > 0

    def is_at_work(self, owned: PartitionAssignment) -> bool:
        """Return whether an attempt of a run's effect is under way: its outcome should be recorded before it moves."""
        return self._effects.under_way(owned.partition) > 0

    def deferred_rows(
        self, owned: PartitionAssignment, changes: Sequence[DeferredRow]
    ) -> tuple[list[Write], list[Write]]:
        """Return the rows of runs that the units change."""
        return self._index.rows(owned, changes)

    def keep_rejected(self, batch: RecordBatch, error: Exception) -> bool:
        """Put a record whose outcome the broker refuses into a dead letter."""
        dead_letter(batch, self._writer, batch.messages[0], error, taker_of(self._writer.names, batch.source.topic))
        return True
