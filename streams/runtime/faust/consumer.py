"""Faust's consumer service over the runtime: subscribes, notifies Faust of assignments, leaves in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from faust.transport import consumer
from faust.types import TP, ConsumerMessage

from streams.runtime.errors import WorkerError

if TYPE_CHECKING:
    from streams.runtime.assignment import SourcePartition
    from streams.runtime.record import ConsumedRecord


class Consumer(consumer.Consumer):
    """What Faust asks of a consumer. Fetching, commits, seeks and rebalances are the runtime's."""

    app: Any
    consumer_stopped_errors = ()

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Open the runtime for `topics` and join the group; Faust calls it once its agents have started."""
        app = self.app
        sources = [topic for topic in topics if topic not in app.tables.changelog_topics]
        runtime = app.runtime
        try:
            await runtime.open(sources, self, app.host)
        except WorkerError as error:
            runtime.crash(error)
            return
        runtime.start()

    def deliver(self, source: SourcePartition, messages: list[ConsumedRecord]) -> None:
        """Route fetched records to the streams of their topic."""
        self.app.topics.deliver(source, messages)

    def assignments_changed(self) -> None:
        """Notify Faust of what this worker owns now."""
        self.app.on_assignments_changed()

    async def leave(self) -> None:
        """Leave the group while agents and committer are alive, so that what was started is committed."""
        await self.app.runtime.stop()

    async def on_stop(self) -> None:
        """Stop fetching."""
        await self.leave()

    def assignment(self) -> set[TP]:
        """Return the source partitions of restored assignments."""
        return {
            TP(topic, owned.partition) for owned in self.app.runtime.assignments.values() for topic in owned.sources
        }

    def topic_partitions(self, topic: str) -> int | None:
        """Return the partition count that all co-partitioned topics share."""
        return int(self.app.runtime.partitions) or None

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        """Leave the partition to the producer's partitioner (murmur2) unless one is given."""
        return partition

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Do nothing: offsets are committed with the units that move them."""
        return False

    async def perform_seek(self) -> None:
        """Do nothing: an assignment starts where its restore says."""

    async def verify_all_partitions_active(self) -> None:
        """Do nothing: the broker assigns."""

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        return False

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Return nothing: an assignment starts where its restore says."""
        return {}

    async def _seek(self, partition: TP, offset: int) -> None:
        raise RuntimeError("positions are the runtime's: replay with `streams replay`")

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Do nothing: recovery is the runtime's."""

    async def position(self, tp: TP) -> int | None:
        """Return the next offset to process, as committed."""
        owned = self.app.runtime.assignments.get(tp.partition)
        source = owned.sources.get(tp.topic) if owned else None
        return source.applied if source else None

    def highwater(self, tp: TP) -> int:
        """Return 0: lag is measured against the broker, not from the fetcher's cache."""
        return 0

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """Return nothing: recovery is the runtime's."""
        return {}

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Return nothing: recovery is the runtime's."""
        return {}

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        return {}

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        kind, timestamp = record.timestamp()
        key, value = record.key(), record.value()
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.offset(),
            timestamp / 1000.0,
            kind,
            record.headers() or [],
            key,
            value,
            None,
            len(key or b""),
            len(value or b""),
            tp,
        )

    async def create_topic(self, *_args: Any, **_kwargs: Any) -> None:
        """Do nothing: topics are declared in the catalogue and made by `streams topics apply`."""
