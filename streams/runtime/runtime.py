"""The runtime below Faust: one consumer thread, assignments with their stores, and one committer."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from streams.error_text import error_message
from streams.runtime import client_config
from streams.runtime.assignment import PartitionAssignment, SourcePartition
from streams.runtime.assignment_lifecycle import AssignmentLifecycle
from streams.runtime.batch import GROW_LIMIT, SHORT, RecordBatch
from streams.runtime.changelogs import ChangelogReader
from streams.runtime.cluster_check import probe
from streams.runtime.cluster_queries import answered
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.committer import Committer, Rows
from streams.runtime.consumer_thread import ConsumerThread
from streams.runtime.errors import ClusterUnfitError
from streams.runtime.fencing import OffsetOwner, transactional_id
from streams.runtime.group_snapshot import GroupSnapshot
from streams.runtime.partition_store import StoreOptions
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

T = TypeVar("T")

_PATIENCE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """Settings of a runtime; `client` has the cluster's address and credentials for any librdkafka client."""

    client: client_config.Config
    group: str  # consumer group, also the prefix of the transactional id
    slot: str  # stable and exclusive: a restart in the slot frees what its predecessor left open
    folder: Path  # partition stores
    ledger: StoreSpec  # the store that also keeps the applied offsets
    # The topic whose partitions the group shares out, the same in every worker of the pool; empty: the first source.
    subscription: str = ""
    stores: tuple[StoreSpec, ...] = ()
    standbys: int = 0  # copies of each partition's stores that other workers keep
    slow: frozenset[str] = frozenset()  # topics whose records cost so much that batches are to be short
    probe: Callable[[str], None] = lambda _stage: None  # told each stage; fault tests stop the process there
    client_id: str = ""  # of the group's member, as `fencing.OffsetOwner` says; empty: one is made
    options: StoreOptions = field(default_factory=StoreOptions)
    rows: Rows = lambda _assignment, _changes: ([], [])  # see Committer
    busy: Callable[[], bool] = lambda: False  # see Committer


class Runtime:
    """Own partitions, hand out batches, commit units."""

    def __init__(self, settings: RuntimeSettings, *, crash: Callable[[Exception], None]) -> None:
        """Prepare; `crash` ends the process with an error."""
        self.settings = settings
        self.gaps = RetentionGaps()
        self.tasks = BackgroundTasks(crash)
        self.crash = crash
        self._thread: ConsumerThread | None = None
        self._ownership: AssignmentLifecycle | None = None
        self._committer: Committer | None = None
        self.deliver: Callable[[SourcePartition, list[ConsumedRecord]], None] = _nobody
        self.keep_rejected: Callable[[CommitUnit, Exception], None] = self._cannot_keep
        self.refusals: dict[tuple[int, str], Exception] = {}  # runs whose decision the broker refused, by partition
        self._poison = RejectedOutputIsolation()
        self.standbys: Standbys | None = None
        self.topics: tuple[str, ...] = ()
        self.partitions = 0
        self.opened = asyncio.Event()

    @property
    def snapshot(self) -> GroupSnapshot:
        """Return the latest metadata and live assignments."""
        return _running(self._thread).snapshot

    @property
    def committer(self) -> Committer:
        """Return the group commit."""
        return _running(self._committer)

    @property
    def at_work(self) -> bool:
        """Return whether a transaction is under way."""
        return self._committer is not None and self._committer.at_work

    @property
    def ownership(self) -> AssignmentLifecycle:
        """Return the life of the assignments."""
        return _running(self._ownership)

    @property
    def polls(self) -> int:
        """Return how often the consumer's thread has polled, for a watchdog."""
        return _running(self._thread).polls

    @property
    def holds_back(self) -> bool:
        """Return whether nothing is fetched, since the records that were read fill the memory that is allowed."""
        return _running(self._thread).holds_back

    @property
    def member(self) -> str | None:
        """Return our id in the group, None while we are not to be in it."""
        return None if self._thread is None else self._thread.member

    @property
    def assigned(self) -> frozenset[int]:
        """Return the partition numbers that the group has given to this worker, served or not."""
        return frozenset() if self._thread is None else self._thread.numbers

    @property
    def assignments(self) -> dict[int, PartitionAssignment]:
        """Return the restored assignments by partition number."""
        return {} if self._ownership is None else self._ownership.assignments

    async def next_snapshot(self) -> None:
        """Wait until the consumer's thread has published a snapshot that is younger than this call."""
        loop, fresh = asyncio.get_running_loop(), asyncio.Event()
        _running(self._thread).after_publish(lambda: _wake(loop, fresh))
        await fresh.wait()

    def release(self, weight: int) -> None:
        """Give back the credit of records of this weight."""
        _running(self._thread).release(weight)

    async def open(self, topics: Sequence[str]) -> None:
        """Check the cluster and the topics, restart the slot's transactions, make the parts; fetch nothing yet.

        Raises ClusterUnfitError when the cluster or its topics are not what workers need.
        """
        s = self.settings
        specs = (s.ledger, *s.stores)
        self.topics = tuple(sorted(topics))
        counts, ids = await asyncio.to_thread(self._describe, [*topics, *(spec.topic for spec in specs)])
        self.partitions = self._common(counts)
        await asyncio.to_thread(probe, s.client, s.group, self.topics[0], 0, s.slot)
        restorer = Restorer(s.client, s.group, s.ledger.name, self.gaps)
        self.standbys = self._copies(specs) if s.standbys else None
        self._ownership = AssignmentLifecycle(
            specs=specs,
            folder=s.folder,
            options=s.options,
            restorer=restorer,
            deliver=self._deliver,
            crash=self.crash,
            spawn=self.tasks.spawn,
            probe=s.probe,
            standbys=self.standbys,
        )
        client_id = s.client_id or f"{s.group}/{s.slot}/{uuid.uuid4().hex}"
        member = client_config.consumer(s.client, s.group, client_id)
        fetching = client_config.fetcher(s.client, s.group)
        self._thread = ConsumerThread(member, fetching, self._ownership)
        self._ownership.thread = self._thread
        self._committer = Committer(
            TransactionalProducer(s.client, transactional_id(s.group, s.slot), s.probe, OffsetOwner(s.slot, client_id)),
            self,
            ledger=s.ledger.name,
            topic_ids={spec.topic: ids[spec.topic] for spec in specs},
            crash=self.crash,
            refused=self._refused,
            probe=s.probe,
            rows=s.rows,
            busy=s.busy,
        )
        self._ownership.committer = self._committer
        await self._committer.open()
        self.tasks.spawn(self._committer.run())
        self.opened.set()

    def start(self) -> None:
        """Join the group and fetch."""
        if self.standbys is not None:
            self.standbys.start()
        _running(self._thread).start(self.topics, self.settings.subscription or self.topics[0])

    async def stop(self) -> None:
        """Drain, commit, leave the group at once, close the stores."""
        if self.standbys is not None:
            await asyncio.to_thread(self.standbys.stop)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.stop)
        if self._committer is not None:
            await self._committer.drain(5)
            self._committer.stop()
        for owned in list(self.assignments.values()):
            owned.kill()
            owned.close()
        await self.tasks.stop()

    def _copies(self, specs: tuple[StoreSpec, ...]) -> Standbys:
        s = self.settings
        return Standbys(
            copies=s.standbys,
            specs=specs,
            folder=s.folder,
            options=s.options,
            changelogs=ChangelogReader(s.client),
            reader=self._follower,
            busy=lambda: self.ownership.restoring,
            damaged=self.crash,
        )

    def _follower(self) -> tuple[Consumer, Contact]:
        settings = client_config.follower(self.settings.client, self.settings.group)
        contact = Contact(settings)
        return Consumer(settings, error_cb=contact.noted, logger=None), contact

    def _cannot_keep(self, _batch: CommitUnit, error: Exception) -> None:
        self.crash(error)  # nobody keeps dead letters here

    def _deliver(self, source: SourcePartition, messages: list[ConsumedRecord]) -> None:
        self.deliver(source, messages)  # the conductor takes over after the parts were made

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
        most = SHORT if source.topic in self.settings.slow else GROW_LIMIT
        for start in range(0, len(part), most):
            piece = part[start : start + most]
            if not (grow and source.queue and source.queue[-1].grow(piece, most)):
                made.append(RecordBatch(source, piece, agents, self._finished))
                source.queue.append(made[-1])
        return made

    def _pass_by(self, batch: RecordBatch, error: Exception) -> None:
        """Commit a refused record's dead letter and offset, and nothing else of it."""
        batch.started = True
        batch.source.queue.append(batch)
        self.keep_rejected(batch, error)
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
        queue = batch.source.queue
        while queue and queue[0].sealed:
            head = queue.popleft()
            head.taken = True
            self.committer.add(head)
        self.ownership.progress.set()

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
        await self.ownership.opened(new)
        _running(self._thread).renew(old, new)

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


def _running(part: T | None) -> T:
    if part is None:
        raise RuntimeError("the runtime is not open")
    return part


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)


def _nobody(_source: SourcePartition, _messages: list[ConsumedRecord]) -> None:
    raise RuntimeError("no conductor took over delivery")
