"""The group coordinator: members and assignments by the group protocol of KIP-848, and the offsets of groups.

A member reaches the group's epoch step by step. It gives back what the target takes from it, it acknowledges that, and
only then another member gets the partition. The session of a member that sends no heartbeat ends; so does the
membership of one that does not give back in its rebalance time-out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from confluent_kafka import KafkaError

from tests.simulation.kafka.errors import RefusedError
from tests.simulation.kafka.range_assignor import assign
from tests.simulation.kafka.transaction_coordinator import ProducerIdentity

Partition = tuple[str, int]

LEAVE: Final = -1
LEAVE_STATIC: Final = -2


class CommittedOffset(NamedTuple):
    """An offset of a group, with what the committer wrote beside it."""

    offset: int
    metadata: str


class Heartbeat(NamedTuple):
    """What a member tells; None where nothing has changed since it told it last."""

    group: str
    member: str
    epoch: int
    client_id: str
    topics: frozenset[str] | None
    owned: frozenset[Partition] | None
    rebalance_s: float
    instance: str | None = None


class HeartbeatAnswer(NamedTuple):
    """The member's epoch and, where it has changed or everything was told, its assignment."""

    epoch: int
    assigned: frozenset[Partition] | None


@dataclass(slots=True)
class ConsumerGroupMember:
    """A member as the coordinator knows it."""

    id: str
    client_id: str
    instance: str | None
    topics: frozenset[str]
    rebalance_s: float
    epoch: int = 0
    previous_epoch: int = 0
    assigned: set[Partition] = field(default_factory=set)
    revoking: set[Partition] = field(default_factory=set)
    told: frozenset[Partition] | None = None  # the assignment of the last answer
    seen: float = 0.0
    revoking_since: float | None = None


@dataclass(slots=True)
class ConsumerGroup:
    """A group: its members, what each should have, and its offsets."""

    epoch: int = 0
    members: dict[str, ConsumerGroupMember] = field(default_factory=dict)
    target: dict[str, set[Partition]] = field(default_factory=dict)
    owners: dict[Partition, str] = field(default_factory=dict)
    offsets: dict[Partition, CommittedOffset] = field(default_factory=dict)
    pending: dict[int, dict[Partition, CommittedOffset]] = field(default_factory=dict)  # by producer id


class GroupCoordinator:
    """All groups of a cluster; which broker answers for which is the cluster's affair."""

    def __init__(
        self, partitions: Callable[[], Mapping[str, int]], now: Callable[[], float], *, session_s: float
    ) -> None:
        """Begin without groups; `partitions` tells how many each topic has."""
        self._partitions = partitions
        self._now = now
        self._session_s = session_s
        self.groups: dict[str, ConsumerGroup] = {}
        self.expelled = 0
        self.rebalances = 0

    # -- members

    def heartbeat(self, told: Heartbeat) -> HeartbeatAnswer:
        """Handle ConsumerGroupHeartbeat; raises RefusedError for a member that is unknown or of another epoch."""
        if told.epoch in (LEAVE, LEAVE_STATIC):
            self._leave(told)
            return HeartbeatAnswer(told.epoch, None)
        group = self.groups.setdefault(told.group, ConsumerGroup())
        joins = told.epoch == 0 and told.member not in group.members
        member = self._join(group, told) if joins else self._member(group, told)
        member.seen = self._now()
        if told.topics is not None and told.topics != member.topics:
            member.topics = told.topics
            self._rebalance(group)
        self._reconcile(group, member, told.owned)
        assigned = frozenset(member.assigned)
        changed = told.epoch == 0 or assigned != member.told
        member.told = assigned
        return HeartbeatAnswer(member.epoch, assigned if changed else None)

    def _join(self, group: ConsumerGroup, told: Heartbeat) -> ConsumerGroupMember:
        for former in [one for one in group.members.values() if told.instance and one.instance == told.instance]:
            self._remove(group, former)
        member = ConsumerGroupMember(
            told.member, told.client_id, told.instance, told.topics or frozenset(), told.rebalance_s
        )
        group.members[told.member] = member
        self._rebalance(group)
        return member

    def _member(self, group: ConsumerGroup, told: Heartbeat) -> ConsumerGroupMember:
        member = group.members.get(told.member)
        if member is None:
            raise RefusedError(KafkaError.UNKNOWN_MEMBER_ID)
        if told.epoch == member.epoch:
            return member
        repeated = told.epoch == member.previous_epoch and (told.owned or set()) <= member.assigned
        if not repeated:
            raise RefusedError(KafkaError.FENCED_MEMBER_EPOCH)
        return member

    def _leave(self, told: Heartbeat) -> None:
        group = self.groups.get(told.group)
        member = None if group is None else group.members.get(told.member)
        if group is None or member is None:
            raise RefusedError(KafkaError.UNKNOWN_MEMBER_ID)
        self._remove(group, member)

    def _remove(self, group: ConsumerGroup, member: ConsumerGroupMember) -> None:
        self._give_back(group, member, member.assigned | member.revoking)
        group.members.pop(member.id, None)
        self._rebalance(group)

    def _rebalance(self, group: ConsumerGroup) -> None:
        """Begin a new epoch with a new target."""
        group.epoch += 1
        self.rebalances += 1
        group.target = assign({one.id: one.topics for one in group.members.values()}, self._partitions())

    @staticmethod
    def _give_back(group: ConsumerGroup, member: ConsumerGroupMember, partitions: Iterable[Partition]) -> None:
        for partition in list(partitions):
            member.assigned.discard(partition)
            member.revoking.discard(partition)
            if group.owners.get(partition) == member.id:
                del group.owners[partition]
        if not member.revoking:
            member.revoking_since = None

    def _reconcile(self, group: ConsumerGroup, member: ConsumerGroupMember, owned: frozenset[Partition] | None) -> None:
        """Bring a member one step nearer to its target."""
        if member.revoking:
            if owned is None or owned & member.revoking:
                return  # it has not acknowledged yet
            self._give_back(group, member, member.revoking)
        target = group.target.get(member.id, set())
        excess = member.assigned - target
        if excess:
            member.assigned -= excess
            if owned is None or owned & excess:
                member.revoking |= excess
                member.revoking_since = self._now()
                return  # it keeps its epoch until it has given back
            self._give_back(group, member, excess)
        for partition in sorted(target - member.assigned):
            if partition not in group.owners:
                group.owners[partition] = member.id
                member.assigned.add(partition)
        if member.epoch != group.epoch:
            member.previous_epoch, member.epoch = member.epoch, group.epoch

    def expire(self, is_served: Callable[[str], bool]) -> None:
        """Expel members whose session or rebalance time-out is over."""
        now = self._now()
        for name, group in self.groups.items():
            if group.members and not is_served(name):
                continue
            for member in list(group.members.values()):
                silent = now - member.seen > self._session_s
                slow = member.revoking_since is not None and now - member.revoking_since > member.rebalance_s
                if silent or slow:
                    self.expelled += 1
                    self._remove(group, member)

    def topics_changed(self) -> None:
        """Compute new targets where a topic that is subscribed to has more partitions or has come or gone."""
        counts = self._partitions()
        for group in self.groups.values():
            wanted = assign({one.id: one.topics for one in group.members.values()}, counts)
            if group.members and wanted != group.target:
                self._rebalance(group)

    def topic_deleted(self, topic: str) -> None:
        """Forget the offsets and owners of a topic."""
        for group in self.groups.values():
            group.owners = {one: owner for one, owner in group.owners.items() if one[0] != topic}
            for offsets in (group.offsets, *group.pending.values()):
                for partition in [one for one in offsets if one[0] == topic]:
                    del offsets[partition]
            for member in group.members.values():
                member.assigned = {one for one in member.assigned if one[0] != topic}
                member.revoking = {one for one in member.revoking if one[0] != topic}

    def restart_sessions(self, is_mine: Callable[[str], bool]) -> None:
        """Begin all sessions anew, as a coordinator does that has loaded its groups."""
        for name, group in self.groups.items():
            if is_mine(name):
                for member in group.members.values():
                    member.seen = self._now()
                    if member.revoking_since is not None:
                        member.revoking_since = self._now()

    # -- offsets

    def commit(self, name: str, member: str, epoch: int, offsets: Mapping[Partition, CommittedOffset]) -> None:
        """Handle OffsetCommit."""
        group = self.groups.setdefault(name, ConsumerGroup())
        if group.members or member:
            self._check(group, member, epoch, stale=KafkaError.STALE_MEMBER_EPOCH)
        group.offsets.update(offsets)

    def commit_in_transaction(
        self,
        name: str,
        member: str,
        epoch: int,
        producer: ProducerIdentity,
        offsets: Mapping[Partition, CommittedOffset],
    ) -> None:
        """Handle TxnOffsetCommit: the offsets are pending until the transaction ends."""
        group = self.groups.setdefault(name, ConsumerGroup())
        if member or epoch >= 0:  # who is no member at all is let through, also while the group has members
            self._check(group, member, epoch, stale=KafkaError.ILLEGAL_GENERATION)
        group.pending.setdefault(producer.id, {}).update(offsets)

    def end_transaction(self, name: str, producer: ProducerIdentity, *, commit: bool) -> None:
        """Let the pending offsets of a producer count, or drop them."""
        group = self.groups.get(name)
        if group is None:
            return
        pending = group.pending.pop(producer.id, {})
        if commit:
            group.offsets.update(pending)

    def fetch(
        self, name: str, partitions: Iterable[Partition] | None, *, stable: bool
    ) -> dict[Partition, CommittedOffset | None]:
        """Handle OffsetFetch; with `stable` raises RefusedError while an offset that is asked for is pending."""
        group = self.groups.get(name, ConsumerGroup())
        wanted = list(group.offsets) if partitions is None else list(partitions)
        held = {partition for pending in group.pending.values() for partition in pending}
        if stable and held & set(wanted):
            raise RefusedError(KafkaError.UNSTABLE_OFFSET_COMMIT)
        return {partition: group.offsets.get(partition) for partition in wanted}

    @staticmethod
    def _check(group: ConsumerGroup, member_id: str, epoch: int, *, stale: int) -> None:
        """Refuse a commit of a member that is unknown or has another epoch; whose the partitions are is not asked."""
        member = group.members.get(member_id)
        if member is None:
            raise RefusedError(KafkaError.UNKNOWN_MEMBER_ID)
        if epoch != member.epoch:
            raise RefusedError(stale)
