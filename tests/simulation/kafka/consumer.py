"""The consumer of the client library: assignments by hand or by a group, messages, positions, committed offsets."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, Message, TopicPartition

from tests.simulation.kafka.broker_api import EARLIEST, LATEST
from tests.simulation.kafka.client import Client, Exchange
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.errors import RefusedError, failure, kafka_error
from tests.simulation.kafka.fetcher import UNKNOWN, Fetcher
from tests.simulation.kafka.group_coordinator import CommittedOffset
from tests.simulation.kafka.group_member import GroupMembership, RebalanceEvent
from tests.simulation.kafka.group_metadata import ConsumerGroupMetadata
from tests.simulation.kafka.timing import Waiter

Partition = tuple[str, int]
Rebalanced = Callable[["SimulatedConsumer", "list[TopicPartition]"], Any]

_FOR_EVER_S: Final = 3600.0 * 24 * 365


class SimulatedConsumer(Client):
    """A consumer."""

    def __init__(
        self,
        cluster: Cluster,
        waiter: Waiter,
        chance: random.Random,
        process: str,
        config: dict[str, Any],
        error_cb: Callable[[KafkaError], None] | None,
    ) -> None:
        """Connect; `group.id` is required, as in the library."""
        if "group.id" not in config:
            raise ValueError("Failed to create consumer: group.id must be set")
        super().__init__(cluster, waiter, chance, process, config, error_cb)
        self._group = str(config["group.id"])
        self._stable = str(config.get("isolation.level", "read_committed")) == "read_committed"
        self._fetcher = Fetcher(self, self._ask_committed)
        self._membership: GroupMembership | None = None
        self._on: dict[str, Rebalanced | None] = {}
        self._errors: deque[Message] = deque()
        self._rebalancing: RebalanceEvent | None = None
        self._touched = False  # whether a callback has changed the assignment itself
        self._ended = False

    # -- assignments

    def subscribe(
        self,
        topics: Sequence[str],
        on_assign: Rebalanced | None = None,
        on_revoke: Rebalanced | None = None,
        on_lost: Rebalanced | None = None,
    ) -> None:
        """Join the group; the callbacks run in `poll`, `consume` and `close`."""
        self._require_open()
        self._on = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost or on_revoke}
        if self._membership is not None:
            self._membership.subscribe(frozenset(topics))
            return
        member = f"{self._chance.getrandbits(128):032x}"
        heartbeat_s = self._cluster.settings.heartbeat_s
        self._membership = GroupMembership(self, self._group, member, frozenset(topics), heartbeat_s, self._add_error)

    def unsubscribe(self) -> None:
        """Leave the group; the revocation callback runs."""
        self._leave()

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Replace the assignment."""
        self._require_open()
        self._touched = True
        self._fetcher.remove(list(self._fetcher.positions))
        self._fetcher.add(_places(partitions))
        if self._membership is not None:
            self._membership.assigned = {(one.topic, one.partition) for one in partitions}

    def unassign(self) -> None:
        """Drop the assignment."""
        self.assign([])

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Add partitions."""
        self._require_open()
        self._touched = True
        places = _places(partitions)
        if any(place in self._fetcher.positions for place in places):
            raise failure(KafkaError._CONFLICT, "partition is already assigned")
        self._fetcher.add(places)
        if self._membership is not None:
            self._membership.assigned |= places.keys()

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        """Take partitions out."""
        self._touched = True
        places = [(one.topic, one.partition) for one in partitions]
        if any(place not in self._fetcher.positions for place in places):
            raise failure(KafkaError._INVALID_ARG, "partition is not assigned")
        self._fetcher.remove(places)
        if self._membership is not None:
            self._membership.assigned -= set(places)

    def assignment(self) -> list[TopicPartition]:
        """Return what is assigned."""
        self._require_open()
        return [TopicPartition(*place) for place in sorted(self._fetcher.positions)]

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch partitions no more for now."""
        for one in partitions:
            if (one.topic, one.partition) in self._fetcher.positions:
                self._fetcher.pause((one.topic, one.partition))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch partitions on."""
        for one in partitions:
            if (one.topic, one.partition) in self._fetcher.positions:
                self._fetcher.resume((one.topic, one.partition))

    def seek(self, partition: TopicPartition) -> None:
        """Go on at another offset; raises KafkaException (`_STATE`) while the partition is not being fetched yet."""
        position = self._fetcher.positions.get((partition.topic, partition.partition))
        if position is None or not position.active:
            raise failure(KafkaError._STATE, "Failed to seek to offset: Local: Erroneous state")
        self._fetcher.seek((partition.topic, partition.partition), partition.offset)

    def position(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Return the offset behind the last message that was given out, of each partition."""
        positions = self._fetcher.positions
        found = []
        for one in partitions:
            position = positions.get((one.topic, one.partition))
            found.append(TopicPartition(one.topic, one.partition, UNKNOWN if position is None else position.consumed))
        return found

    # -- messages

    def poll(self, timeout: float = -1) -> Message | None:
        """Run callbacks, and return the next message or error, None after a time without one."""
        found = self.consume(1, timeout)
        return found[0] if found else None

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        """Return up to so many messages; waits for all of them until the time is over."""
        self._require_open()
        until = None if timeout is None or timeout < 0 else self._waiter.now() + timeout
        found: list[Message] = []
        while True:
            self._serve()
            if self._ended:
                return found
            while len(found) < num_messages and (message := self._next()) is not None:
                found.append(message)
            if len(found) >= num_messages or not self._waiter.wait(until, self._has_something):
                return found

    def _has_something(self) -> bool:
        event = self._membership is not None and self._membership.event is not None
        return bool(self._callbacks or self._errors or len(self._fetcher) or event)

    def _next(self) -> Message | None:
        if self._errors:
            return self._errors.popleft()
        message = self._fetcher.take()
        if not len(self._fetcher):
            self._fetcher.go_on()
        return message

    def _add_error(self, code: int) -> None:
        self._errors.append(Message(error=kafka_error(code)))

    def _serve(self) -> int:
        count = super()._serve()
        membership = self._membership
        if membership is None or self._rebalancing is not None:
            return count
        membership.polled()
        while membership.event is not None and not self._ended:
            self._rebalance(membership, membership.event)
            count += 1
        return count

    def _rebalance(self, membership: GroupMembership, event: RebalanceEvent) -> None:
        """Run the callback of a change, and change the assignment if the callback has not."""
        partitions = [TopicPartition(*place) for place in sorted(event.partitions)]
        callback = self._on[event.kind]
        self._rebalancing, self._touched = event, False
        try:
            if callback is not None:
                callback(self, partitions)
            if not self._touched and event.kind == "assign":
                self.incremental_assign(partitions)
            elif not self._touched:
                self.incremental_unassign(partitions)
        finally:
            self._rebalancing = None
            membership.handled(event)

    def _metadata_changed(self) -> None:
        self._fetcher.go_on()

    # -- offsets

    def _ask_committed(self, places: list[Partition], then: Callable[[Any], None], timeout_s: float = 60.0) -> Exchange:
        exchange = self._exchange(
            "OffsetFetch",
            lambda: self._coordinator("group", self._group),
            lambda api: api.fetch_offsets(self._group, places, stable=self._stable),
            timeout_s=timeout_s,
            coordinator=("group", self._group),
        )
        exchange.then(then)
        return exchange

    def committed(self, partitions: Sequence[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        """Return the offsets of the group; raises KafkaException (`_TIMED_OUT`) while one is pending."""
        self._require_open()
        places = [(one.topic, one.partition) for one in partitions]
        limit = _FOR_EVER_S if timeout is None or timeout < 0 else timeout
        exchange = self._ask_committed(places, lambda _: None, limit)
        self._waiter.wait(exchange.deadline, lambda: exchange.done)
        if not isinstance(exchange.answer, dict):
            exchange.cancel()
            self._await(exchange)
        found: list[TopicPartition] = []
        for place in places:
            one = exchange.answer.get(place)
            found.append(
                TopicPartition(*place, UNKNOWN) if one is None else TopicPartition(*place, one.offset, one.metadata)
            )
        return found

    def commit(
        self,
        message: Message | None = None,
        offsets: Sequence[TopicPartition] | None = None,
        asynchronous: bool = True,
    ) -> list[TopicPartition] | None:
        """Commit offsets, those of a message, or the positions; waits for the coordinator unless `asynchronous`."""
        self._require_open()
        if message is not None:
            offsets = [TopicPartition(str(message.topic()), message.partition() or 0, (message.offset() or 0) + 1)]
        elif offsets is None:
            offsets = [one for one in self.position(self.assignment()) if one.offset >= 0]
        wanted = {(one.topic, one.partition): CommittedOffset(one.offset, one.metadata or "") for one in offsets}
        if not wanted:
            raise failure(KafkaError._NO_OFFSET)
        metadata = self.consumer_group_metadata()
        exchange = self._exchange(
            "OffsetCommit",
            lambda: self._coordinator("group", self._group),
            lambda api: api.commit(self._group, metadata.member, wanted),
            timeout_s=60.0,
            coordinator=("group", self._group),
        )
        if asynchronous:
            return None
        self._await(exchange)
        return list(offsets)

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        """Return first and next offset; with isolation `read_committed` the last stable one.

        Cached ones are those of the last fetch, -1001 before it.
        """
        self._require_open()
        place = (partition.topic, partition.partition)
        if cached:
            position = self._fetcher.positions.get(place)
            return (UNKNOWN, UNKNOWN) if position is None else (position.low, position.high)
        limit = _FOR_EVER_S if timeout is None or timeout < 0 else timeout
        exchanges = [self._list_offset(place, timestamp, limit) for timestamp in (EARLIEST, LATEST)]
        low, high = (self._await(exchange)[0] for exchange in exchanges)
        return low, high

    def offsets_for_times(self, partitions: Sequence[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        """Return for each partition the first offset whose timestamp is not before the given one, -1 for none."""
        self._require_open()
        limit = _FOR_EVER_S if timeout is None or timeout < 0 else timeout
        exchanges = [self._list_offset((one.topic, one.partition), one.offset, limit) for one in partitions]
        found = [self._await(exchange)[0] for exchange in exchanges]
        return [TopicPartition(one.topic, one.partition, offset) for one, offset in zip(partitions, found, strict=True)]

    def _list_offset(self, place: Partition, timestamp: int, limit: float) -> Exchange:
        def route() -> int | None:
            leader = self._leader(place)
            if leader is None and self._is_missing(place):
                raise RefusedError(KafkaError._UNKNOWN_PARTITION)
            return leader

        return self._exchange(
            "ListOffsets",
            route,
            lambda api: api.list_offset(place, timestamp, committed=self._stable),
            timeout_s=limit,
        )

    # -- the group

    def memberid(self) -> str | None:
        """Return the id of this member, None for no member."""
        self._require_open()
        return None if self._membership is None else self._membership.id

    def consumer_group_metadata(self) -> ConsumerGroupMetadata:
        """Return as whom a transaction may commit; raises RuntimeError when the consumer is closed."""
        if self._closed or self._ended:
            raise RuntimeError("Consumer closed")
        if self._membership is None:
            return ConsumerGroupMetadata(self._group)
        return ConsumerGroupMetadata(self._group, (self._membership.id, self._membership.epoch))

    def _leave(self) -> None:
        membership = self._membership
        if membership is None:
            return
        if membership.assigned:
            lost = membership.event is not None and membership.event.kind == "lost"
            membership.event = RebalanceEvent("lost" if lost else "revoke", frozenset(membership.assigned))
            self._rebalance(membership, membership.event)
        membership.leave()
        self._membership = None

    def close(self) -> None:
        """Give back the assignment, leave the group and end; a second call changes nothing."""
        if self._closed:
            return
        super()._serve()
        self._leave()
        self._ended = True
        self._shut()

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("Consumer closed")


def _places(partitions: Sequence[TopicPartition]) -> dict[Partition, int]:
    return {(one.topic, one.partition): one.offset for one in partitions}
