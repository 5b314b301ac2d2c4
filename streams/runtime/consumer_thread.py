"""The one thread that owns the consumers: it polls, runs the rebalance callbacks and publishes group snapshots.

One consumer is the member of the group. All members of a pool subscribe to the same single topic, whatever their code
knows, so the group's assignor always gives a whole partition number to one member. (The assignor of KIP-848 assigns
each topic over the members that subscribe to it: with topics derived from each member's agents, two versions of the
code would get different parts of a number, and nobody could serve it.) Another consumer, which is in no group, fetches
the partitions with that number of every topic that this worker's code handles. What the code does not handle is not
fetched and keeps its committed offset for a member that does.

All calls on the consumer are made here (calls from elsewhere were seen to block for ever against a poll). After each
poll the thread publishes a snapshot of the group metadata and the live assignments. A transaction uses one snapshot:
taking the metadata later than the assignments would let a rejoined zombie commit a partition that it has lost, since
the broker checks the member and not the ownership.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.runtime.assignment import PartitionAssignment, SourcePartition
from streams.runtime.errors import ClientLostError
from streams.runtime.group_snapshot import GroupSnapshot
from streams.runtime.record import ConsumedRecord, weight_of
from topics.contact import Contact

if TYPE_CHECKING:
    from streams.runtime.client_config import Config

log = logging.getLogger(__name__)


_FETCH: Final = 2000  # records taken from librdkafka at once
_HIGH: Final = 48 * 1024 * 1024  # bytes in flight in this process before fetching stops: some 20,000 small records
_POLL_S: Final = 0.05
# An end of a partition shows how far was read; that no broker can be reached is logged once for the whole process
# by whoever notices, in a line of its own (see `topics.reach`), not at each attempt of each connection.
_EXPECTED: Final = frozenset(
    {
        KafkaError._PARTITION_EOF,  # noqa: SLF001 - the library names local errors so
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
    }
)

Rebalance = Callable[[Consumer, "list[TopicPartition]"], None]


class AssignmentListener(Protocol):
    """Receives events of the consumer thread, in that thread; no method but `leave` may block."""

    def assigned(self, owned: PartitionAssignment) -> None:
        """Restore a partition number, then call `ConsumerThread.begin`."""

    def leave(self, gone: Sequence[PartitionAssignment]) -> None:
        """Finish and commit what is ready of these, which are being revoked, within two seconds."""

    def died(self, gone: Sequence[PartitionAssignment]) -> None:
        """Release what hangs on these, which are dead now."""

    def deliver(self, records: dict[SourcePartition, list[ConsumedRecord]]) -> None:
        """Take records that came."""

    def failed(self, error: Exception) -> None:
        """End the process: the consumer cannot go on."""


class ConsumerThread:
    """Own the librdkafka consumers and create assignments from what the group assigns."""

    def __init__(self, settings: Config, fetching: Config, handler: AssignmentListener) -> None:
        """Prepare; `settings` are the group member's, `fetching` those of the consumer that fetches."""
        contacts = Contact(settings), Contact(fetching)
        self._consumer = Consumer(settings, error_cb=contacts[0].callback(self._on_error), logger=None)
        self._fetcher = Consumer(fetching, error_cb=contacts[1].callback(self._on_error), logger=None)
        self._contacts = ((self._consumer, contacts[0]), (self._fetcher, contacts[1]))
        self._handler = handler
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._topics: tuple[str, ...] = ()
        self._subscription = ""
        self._sources: dict[tuple[str, int], SourcePartition] = {}  # what is fetched
        self._assignments: dict[int, PartitionAssignment] = {}
        self._halt = False
        self._failure: Exception | None = None  # of a rebalance callback
        self._taken = 0  # written by the thread only
        self._released = 0  # written by the event loop only
        self._stalled = False
        self.holds_back = False  # whether nothing is fetched, since what was read fills the memory that is allowed
        self._credit = threading.Event()
        self.snapshot = GroupSnapshot(None, frozenset())
        self.polls = 0  # a watchdog sees by it that the thread turns
        self.rebalances = 0  # times that the group gave or took partitions
        self.member: str | None = None  # our id in the group, None before the subscription and after the end
        self._thread = threading.Thread(target=self._run, name="streams-consumer", daemon=True)

    # -- called from the event loop

    def start(self, topics: Sequence[str], subscription: str) -> None:
        """Subscribe to the topic `subscription` and start the thread; `topics` are fetched with its partition numbers.

        All of them must exist with equal partition counts.
        """
        self._topics, self._subscription = tuple(sorted(topics)), subscription
        self._commands.put(self._subscribe)
        self._thread.start()

    def stop(self) -> None:
        """Leave the group at once and end the thread; blocks until it has ended."""
        self._halt = True
        self.member = None
        self._credit.set()
        if self._thread.is_alive():
            self._thread.join()

    def release(self, weight: int) -> None:
        """Return the credit of records of this `weight` that are done with."""
        self._released += weight
        if self._stalled and self._taken - self._released < _HIGH // 2:
            self._credit.set()

    @property
    def numbers(self) -> frozenset[int]:
        """Return the partition numbers that the group has given to this member."""
        return frozenset(self._assignments)

    def begin(self, owned: PartitionAssignment) -> None:
        """Start fetching a restored assignment, each source from what is applied of it."""
        self._commands.put(lambda: self._begin(owned))

    def renew(self, old: PartitionAssignment, new: PartitionAssignment) -> None:
        """Replace an assignment whose open work was dropped: its sources are read again from what is committed."""
        self._commands.put(lambda: self._renew(old, new))

    def after_publish(self, callback: Callable[[], None]) -> None:
        """Call back in the thread once a snapshot that is younger than this call was published."""
        self._commands.put(lambda: self._commands.put(callback))  # two turns on: one whole turn lies between

    # -- the thread

    def _run(self) -> None:
        try:
            while not self._halt:
                self._turn()
            self._close()
        except Exception as error:  # noqa: BLE001 - whatever ends this thread must end the process, not pass in silence
            self._handler.failed(error)

    def _close(self) -> None:
        """Run the revocation callback and leave the group."""
        self._consumer.close()
        self._fetcher.close()
        self._check()

    def _recording_failure(self, callback: Callable[[Consumer, list[TopicPartition]], None]) -> Rebalance:
        """Return a callback that keeps its error for the thread: below Python 3.12 the binding garbles what is raised.

        An error whose value is a text, as the binding's own have, comes out of it as a SystemError about a `<class
        'str'>` (`cfl_exception_restore` in its `confluent_kafka.h`).
        """

        def call(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            try:
                callback(consumer, partitions)
            except Exception as error:  # noqa: BLE001 - raised again by `_check`, in the same thread
                self._failure = self._failure or error

        return call

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _turn(self) -> None:
        for _ in range(self._commands.qsize()):  # a command may put itself off to the next turn
            self._commands.get()()
        held = self._hold_back()
        self._serve_group()
        self._look_for_brokers()
        first = self._fetcher.poll(_POLL_S)
        self.polls += 1
        messages = [] if first is None else [first, *self._fetcher.consume(_FETCH, 0)]
        if held:
            self._resume([(t.topic, t.partition) for t in held])
        self._publish()
        if messages:
            self._hand_over(messages)

    def _serve_group(self) -> None:
        """Run the callbacks of a rebalance that is due; the member's own partitions are paused, so no records come."""
        event = self._consumer.poll(0)
        self._check()
        if event is not None and (error := event.error()) is not None:
            self._on_error(error)

    def _look_for_brokers(self) -> None:
        """End the process when a client has lost the cluster for good; blocks while the cluster is away."""
        for client, contact in self._contacts:
            if contact.suspect and contact.lost(client, self._subscription):
                raise ClientLostError(
                    "a consumer has lost the brokers for good, while a new client reaches them: this worker ends, to "
                    "be started again"
                )

    def _hold_back(self) -> list[TopicPartition]:
        """Without credit wait a little, then pause everything and go on polling, so that rebalances are served."""
        self.holds_back = self._taken - self._released > _HIGH
        if not self.holds_back:
            return []
        self._credit.clear()
        self._stalled = True
        if self._taken - self._released <= _HIGH or self._credit.wait(0.2):
            self._stalled = False
            return []
        held: list[TopicPartition] = self._fetcher.assignment()
        self._fetcher.pause(held)
        return held

    def _resume(self, places: Sequence[tuple[str, int]]) -> None:
        ready = [
            place
            for place in places
            if (source := self._sources.get(place)) and source.assignment and source.assignment.ready
        ]
        self._fetcher.resume([TopicPartition(*place) for place in ready])

    def _publish(self) -> None:
        """Publish a snapshot; an empty one, with which nothing may be committed, once the library has no metadata.

        While it closes, its group ends at a moment of its own: at once when the broker is away, else some time after
        the last partition was given back.
        """
        try:
            metadata = self._consumer.consumer_group_metadata()
        except RuntimeError:  # "Consumer group metadata not available"
            if not self._halt:
                raise
            self.snapshot = GroupSnapshot(None, frozenset())
        else:
            self.snapshot = GroupSnapshot(metadata, frozenset(s for s in self._assignments.values() if s.live))

    def _hand_over(self, messages: list[Message]) -> None:
        parts: dict[SourcePartition, list[ConsumedRecord]] = {}
        sources = self._sources
        for message in messages:
            error = message.error()
            record = cast("ConsumedRecord", message)
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF and (  # noqa: SLF001 - the library names local errors so
                    ended := sources.get((record.topic(), record.partition()))
                ):
                    ended.end = (ended.given, record.offset())
                self._on_error(error)
                continue
            source = sources.get((record.topic(), record.partition()))
            if source is None or source.assignment is None:
                continue
            source.given = record.offset() + 1
            if (part := parts.get(source)) is not None:
                part.append(record)
            else:
                parts[source] = [record]
        if parts:
            self._taken += sum(map(weight_of, parts.values()))
            self._handler.deliver(parts)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._handler.failed(KafkaException(error))
        elif error.code() not in _EXPECTED:
            log.info("%s: %s", error.name(), error.str())

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            [self._subscription],
            on_assign=self._recording_failure(self._on_assign),
            on_revoke=self._recording_failure(self._on_revoke),
            on_lost=self._recording_failure(self._on_lost),
        )
        self.member = self._consumer.memberid()

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.rebalances += bool(partitions)
        places = [
            TopicPartition(place.topic, place.partition, 0) for place in partitions
        ]  # never fetched by the member
        consumer.incremental_assign(places)
        if places:
            consumer.pause(places)
        for place in partitions:
            owned = PartitionAssignment(place.partition, {topic: SourcePartition(topic) for topic in self._topics})
            self._assignments[place.partition] = owned
            self._handler.assigned(owned)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = self._leaving(partitions)
        self._publish()
        self._handler.leave(gone)
        self._end(consumer, partitions, gone)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._end(consumer, partitions, self._leaving(partitions))

    def _leaving(self, partitions: list[TopicPartition]) -> list[PartitionAssignment]:
        numbers = {place.partition for place in partitions}
        return [owned for number, owned in self._assignments.items() if number in numbers]

    def _end(self, consumer: Consumer, partitions: list[TopicPartition], gone: Sequence[PartitionAssignment]) -> None:
        self.rebalances += bool(partitions)
        for owned in gone:
            owned.kill()
            del self._assignments[owned.partition]
        fetched = [(topic, owned.partition) for owned in gone for topic in owned.sources]
        ended = [place for place in fetched if self._sources.pop(place, None) is not None]
        if ended:
            self._fetcher.incremental_unassign([TopicPartition(*place) for place in ended])
        consumer.incremental_unassign(partitions)
        self._publish()
        self._handler.died(gone)

    def _begin(self, owned: PartitionAssignment) -> None:
        if not owned.live:
            return
        for topic, source in owned.sources.items():
            self._sources[topic, owned.partition] = source
        owned.ready = True
        self._fetcher.incremental_assign(
            [TopicPartition(topic, owned.partition, place_of(source)) for topic, source in owned.sources.items()]
        )

    def _renew(self, old: PartitionAssignment, new: PartitionAssignment) -> None:
        if self._assignments.get(old.partition) is not old:  # it was revoked meanwhile: its successor ends unpublished
            new.kill()
            self._handler.died([new])
            return
        if not self._seek(new):
            self._commands.put(lambda: self._renew(old, new))
            return
        self._assignments[new.partition] = new
        for topic, source in new.sources.items():
            self._sources[topic, new.partition] = source
        new.ready = True
        self._resume([(topic, new.partition) for topic in new.sources])  # they may be held back, for the former one

    def _seek(self, owned: PartitionAssignment) -> bool:
        """Move positions; False while the fetchers of a fresh assignment have not started ('erroneous state')."""
        try:
            for topic, source in owned.sources.items():
                self._fetcher.seek(TopicPartition(topic, owned.partition, place_of(source)))
        except KafkaException as error:
            if error.args[0].code() != KafkaError._STATE:  # noqa: SLF001 - the library names local errors so
                raise
            return False
        return True


def place_of(source: SourcePartition) -> int:
    """Return the offset from which a source is fetched: what is applied of it, else the log's beginning."""
    return source.applied if source.applied >= 0 else OFFSET_BEGINNING
