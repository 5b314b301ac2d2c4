"""The runtime below Faust: one consumer thread, assignments with their stores, and one committer."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from streams.error_text import error_message
from streams.runtime import client_config
from streams.runtime.assignment import PartitionAssignment, SourcePartition
from streams.runtime.assignment_lifecycle import AssignmentLifecycle
from streams.runtime.batch import GROW_LIMIT, SHORT, RecordBatch, queue_of
from streams.runtime.changelogs import ChangelogReader
from streams.runtime.cluster_check import probe
from streams.runtime.cluster_queries import answered
from streams.runtime.commit_unit import CommitUnit, Write
from streams.runtime.committer import Committer
from streams.runtime.consumer_thread import ConsumerThread
from streams.runtime.errors import ClusterUnfitError
from streams.runtime.fencing import OffsetOwner, transactional_id
from streams.runtime.group_snapshot import GroupSnapshot
from streams.runtime.host import RecordSink, RuntimeHost
from streams.runtime.partition_store import DeferredRow, StoreOptions
from streams.runtime.rejected_output import RejectedOutputIsolation
from streams.runtime.restore import Restorer
from streams.runtime.retention_gaps import RetentionGaps
from streams.runtime.standbys import Standbys
from streams.runtime.store_index import StoreSpec
from streams.runtime.tasks import BackgroundTasks
from streams.runtime.transactions import TransactionalProducer
from topics.contact import Contact

if TYPE_CHECKING:
    from streams.runtime.record import ConsumedRecord

log = logging.getLogger(__name__)

_PATIENCE_S: Final = 10.0


def no_probe(_stage: str) -> None:
    """Do nothing at a stage of work: only fault tests look at them."""


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """Settings of a runtime; `client` has the cluster's address and credentials for any librdkafka client."""

    client: client_config.Config
    group: str  # consumer group, also the prefix of the transactional id
    slot: str  # stable and exclusive: a restart in the slot frees what its predecessor left open
    folder: Path  # partition stores
    ledger: StoreSpec  # the store that also has the applied offsets
    # The topic whose partitions the group shares out, the same in every worker of the pool; empty: the first source.
    subscription: str = ""
    stores: tuple[StoreSpec, ...] = ()
    standbys: int = 0  # copies of each partition's stores that other workers have
    slow: frozenset[str] = frozenset()  # topics whose records cost so much that batches are to be short
    probe: Callable[[str], None] = no_probe  # called at each stage; fault tests stop the process there
    client_id: str = ""  # of the group's member, as `fencing.OffsetOwner` says; empty: one is made
    options: StoreOptions = field(default_factory=StoreOptions)


class Runtime:
    """Own partitions, hand out batches, commit units."""

    def __init__(self, settings: RuntimeSettings, *, crash: Callable[[Exception], None]) -> None:
        """Make the parts, in a running event loop; `crash` ends the process with an error."""
        s = self.settings = settings
        self._specs = (s.ledger, *s.stores)
        self._host: RuntimeHost = RuntimeHost()
        self._sink: RecordSink | None = None
        self._poison = RejectedOutputIsolation()
        self.gaps = RetentionGaps()
        self.tasks = BackgroundTasks(crash)
        self.crash = crash
        self.refusals: dict[tuple[int, str], Exception] = {}  # runs whose decision the broker refused, by partition
        self.topics: tuple[str, ...] = ()
        self.partitions = 0
        self.opened = asyncio.Event()
        self._topic_ids: dict[str, str] = {}
        client_id = s.client_id or f"{s.group}/{s.slot}/{uuid.uuid4().hex}"
        self.committer = Committer(
            TransactionalProducer(s.client, transactional_id(s.group, s.slot), s.probe, OffsetOwner(s.slot, client_id)),
            self,
            ledger=s.ledger.name,
            topic_ids=self._topic_ids,
            crash=crash,
            refused=self._refused,
            probe=s.probe,
            rows=self._deferred_rows,
            busy=self._is_busy,
        )
        self.standbys = self._copies() if s.standbys else None
        self.ownership = AssignmentLifecycle(
            specs=self._specs,
            folder=s.folder,
            options=s.options,
            restorer=Restorer(s.client, s.group, s.ledger.name, self.gaps),
            thread=partial(
                ConsumerThread,
                client_config.consumer(s.client, s.group, client_id),
                client_config.fetcher(s.client, s.group),
            ),
            committer=self.committer,
            events=self,
            spawn=self.tasks.spawn,
            probe=s.probe,
            standbys=self.standbys,
        )
        self._thread = self.ownership.thread

    @property
    def snapshot(self) -> GroupSnapshot:
        """Return the latest metadata and live assignments."""
        return self._thread.snapshot

    @property
    def at_work(self) -> bool:
        """Return whether a transaction is under way."""
        return self.committer.at_work

    @property
    def rebalances(self) -> int:
        """Return how often the group gave partitions to this worker or took them."""
        return self._thread.rebalances

    def store_sizes(self) -> list[tuple[int, int]]:
        """Return the partition number and the bytes on disk of each store that is open."""
        found = []
        for number, owned in self.assignments.items():
            with owned.guard:
                if owned.live and owned.db is not None:
                    found.append((number, owned.db.size()))
        return found

    @property
    def polls(self) -> int:
        """Return how often the consumer's thread has polled, for a watchdog."""
        return self._thread.polls

    @property
    def holds_back(self) -> bool:
        """Return whether nothing is fetched, since the records that were read fill the memory that is allowed."""
        return self._thread.holds_back

    @property
    def member(self) -> str | None:
        """Return our id in the group, None while we are not to be in it."""
        return self._thread.member

    @property
    def assigned(self) -> frozenset[int]:
        """Return the partition numbers that the group has given to this worker, served or not."""
        return self._thread.numbers

    @property
    def assignments(self) -> dict[int, PartitionAssignment]:
        """Return the restored assignments by partition number."""
        return self.ownership.assignments

    async def next_snapshot(self) -> None:
        """Wait until the consumer's thread has published a snapshot that is younger than this call."""
        loop, fresh = asyncio.get_running_loop(), asyncio.Event()
        self._thread.after_publish(partial(_wake, loop, fresh))
        await fresh.wait()

    def release(self, weight: int) -> None:
        """Return the credit of records of this weight."""
        self._thread.release(weight)

    async def open(self, topics: Sequence[str], sink: RecordSink, host: RuntimeHost | None = None) -> None:
        """Check the cluster and the topics, restart the slot's transactions; fetch nothing yet.

        `sink` gets the records, `host` takes part in what happens to them. Raises ClusterUnfitError when the cluster or
        its topics are not what workers need.
        """
        s = self.settings
        self._sink, self._host = sink, host or self._host
        self.topics = tuple(sorted(topics))
        counts, ids = await asyncio.to_thread(self._describe, [*topics, *(spec.topic for spec in self._specs)])
        self.partitions = self._common(counts)
        self._topic_ids.update({spec.topic: ids[spec.topic] for spec in self._specs})
        checked = asyncio.to_thread(probe, s.client, s.group, self.topics[0], 0, s.slot)
        await asyncio.gather(checked, self.committer.open())  # two clients connect and ask at the same time
        self.tasks.spawn(self.committer.run())
        self.opened.set()

    def start(self) -> None:
        """Join the group and fetch."""
        if self.standbys is not None:
            self.standbys.start()
        self._thread.start(self.topics, self.settings.subscription or self.topics[0])

    async def stop(self) -> None:
        """Drain, commit, leave the group at once, close the stores."""
        if self.standbys is not None:
            await asyncio.to_thread(self.standbys.stop)
        await asyncio.to_thread(self._thread.stop)
        await self.committer.drain(5)
        self.committer.stop()
        for owned in list(self.assignments.values()):
            owned.kill()
            owned.close()
        await self.tasks.stop()

    def _copies(self) -> Standbys:
        s = self.settings
        return Standbys(
            copies=s.standbys,
            specs=self._specs,
            folder=s.folder,
            options=s.options,
            changelogs=ChangelogReader(s.client),
            reader=self._follower,
            busy=self._is_restoring,
            damaged=self.crash,
        )

    def _follower(self) -> tuple[Consumer, Contact]:
        settings = client_config.follower(self.settings.client, self.settings.group)
        contact = Contact(settings)
        return Consumer(settings, error_cb=contact.noted, logger=None), contact

    def _is_restoring(self) -> bool:
        return self.ownership.restoring

    # -- what the lifecycle and the committer report to the host

    def deliver(self, source: SourcePartition, messages: list[ConsumedRecord]) -> None:
        """Hand fetched records over to whoever handles them."""
        _opened(self._sink).deliver(source, messages)

    async def assignment_ready(self, owned: PartitionAssignment) -> None:
        """Let the host go on with open work of a restored assignment."""
        await self._host.assignment_ready(owned)

    def assignments_changed(self) -> None:
        """Notify Faust and the host that assignments came or went."""
        _opened(self._sink).assignments_changed()
        self._host.assignments_changed()

    def _deferred_rows(
        self, owned: PartitionAssignment, changes: Sequence[DeferredRow]
    ) -> tuple[list[Write], list[Write]]:
        return self._host.deferred_rows(owned, changes)

    def _is_busy(self) -> bool:
        return self._host.is_busy()

    def is_at_work(self, owned: PartitionAssignment) -> bool:
        """Return whether the host has something of an assignment under way."""
        return self._host.is_at_work(owned)

    def progressed(self) -> None:
        """Note the end of something that a drain may wait for."""
        self.ownership.progress.set()

    # -- batches

    def batches(self, source: SourcePartition, messages: list[ConsumedRecord], agents: int) -> list[RecordBatch]:
        """Queue `messages` behind what the source has open; return what is new: an unstarted batch may take them up."""
        made = []
        for part in self._poison.split(source, messages):
            error = self._poison.error(part)
            if error is not None:
                self._pass_by(RecordBatch(source, part, 1, self._finished), error)
            else:
                made += self._queued(source, part, agents, grow=len(part) == len(messages))
        return made

    def _queued(
        self, source: SourcePartition, part: list[ConsumedRecord], agents: int, *, grow: bool
    ) -> list[RecordBatch]:
        made = []
        queue = queue_of(source)
        most = SHORT if source.topic in self.settings.slow else GROW_LIMIT
        for start in range(0, len(part), most):
            piece = part[start : start + most]
            if not (grow and queue and queue[-1].grow(piece, most)):
                made.append(RecordBatch(source, piece, agents, self._finished))
                queue.append(made[-1])
        return made

    def _pass_by(self, batch: RecordBatch, error: Exception) -> None:
        """Commit a refused record's dead letter and offset, and nothing else of it."""
        batch.started = True
        batch.source.queue.append(batch)
        if not self._host.keep_rejected(batch, error):
            self.crash(error)
        batch.done()

    def reject(self, batch: RecordBatch, error: Exception) -> None:
        """Drop a batch whose handler failed by one of its records, and read it again without that record.

        Its records are given out one by one; the one that fails alone becomes a dead letter, its neighbours pass.
        """
        log.info(
            "a record of %s/%s cannot be handled: %s",
            batch.source.topic,
            batch.assignment.partition,
            error_message(error),
        )
        batch.rejected = True
        self._poison.refused(batch, error)
        self.renew(batch.assignment)

    def _refused(self, unit: CommitUnit, error: Exception) -> None:
        """Remember the culprit of a refused transaction, and read its assignment again without it."""
        log.info("the broker refuses a record of partition %s: %s", unit.assignment.partition, error)
        if isinstance(unit, RecordBatch):
            self._poison.refused(unit, error)
        elif unit.culprit is not None:
            self.refusals[unit.assignment.partition, unit.culprit] = error
        self.renew(unit.assignment)

    def _finished(self, batch: RecordBatch) -> None:
        """Hand the finished head run of a source to the committer: offsets never pass unfinished work."""
        queue = queue_of(batch.source)
        while queue and queue[0].sealed:
            head = queue.popleft()
            head.taken = True
            self.committer.add(head)
        self.progressed()

    # -- after a handler failed, or a record was refused

    def renew(self, old: PartitionAssignment) -> None:
        """Drop the open work of an assignment and read its sources again from what is committed.

        Nothing uncommitted survives: rows in the overlay may have been read by others of the same assignment.
        """
        self.committer.between(lambda: self._renew(old))

    def _renew(self, old: PartitionAssignment) -> None:
        if self.assignments.get(old.partition) is not old:
            return
        old.kill()
        new = PartitionAssignment(old.partition, {topic: SourcePartition(topic) for topic in old.sources})
        for topic, source in old.sources.items():
            new.sources[topic].applied = source.applied
            self.release(sum(batch.weight() for batch in source.queue))
            source.queue.clear()
        new.db, old.db = old.db, None
        new.stores = {name: store.clean() for name, store in old.stores.items()}
        old.close()
        self.ownership.assignments[new.partition] = new
        self.tasks.spawn(self._renewed(old, new))

    async def _renewed(self, old: PartitionAssignment, new: PartitionAssignment) -> None:
        await self.assignment_ready(new)
        self._thread.renew(old, new)

    # -- at start

    def _describe(self, topics: Sequence[str]) -> tuple[dict[str, int], dict[str, str]]:
        counts: dict[str, int] = {}
        ids: dict[str, str] = {}

        def ask(admin: AdminClient) -> None:
            futures = admin.describe_topics(TopicCollection(sorted(set(topics))), request_timeout=_PATIENCE_S)
            for topic, future in futures.items():
                try:
                    found = future.result(_PATIENCE_S + 1)
                except KafkaException as error:
                    if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                        raise
                    raise ClusterUnfitError(f"topic {topic} is not there: run `streams topics apply`") from error
                counts[topic], ids[topic] = len(found.partitions), str(found.topic_id)

        answered(self.settings.client, ask)
        return counts, ids

    def _common(self, counts: dict[str, int]) -> int:
        if len(set(counts.values())) == 1:
            return next(iter(counts.values()))
        odd = ", ".join(f"{topic} has {count}" for topic, count in sorted(counts.items()))
        raise ClusterUnfitError(
            f"co-partitioned topics must have one partition count: {odd}; "
            "a count cannot change under running tables, make a new topic set and drain the old one"
        )


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)


def _opened(sink: RecordSink | None) -> RecordSink:
    if sink is None:
        raise RuntimeError("the runtime is not open")
    return sink
