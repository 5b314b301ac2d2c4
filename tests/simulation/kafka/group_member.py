"""A consumer's membership in a group by the protocol of KIP-848, as the client library keeps it.

It sends heartbeats, takes the assignment step by step and acknowledges what it has given back. The application learns
of changes only in its own calls: what it has to give back stays assigned until it polls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

from confluent_kafka import KafkaError

from tests.simulation.kafka.client import Client, answering
from tests.simulation.kafka.errors import RefusedError
from tests.simulation.kafka.group_coordinator import LEAVE, Heartbeat, HeartbeatAnswer
from tests.simulation.kafka.links import Unanswered

Partition = tuple[str, int]

_MEMBER_GONE: Final = frozenset({KafkaError.UNKNOWN_MEMBER_ID, KafkaError.FENCED_MEMBER_EPOCH})
_LEAVING_S: Final = 5.0  # for the answer to the last heartbeat
_CHANNEL: Final = "coordinator"  # heartbeats have a connection of their own, as in the library


class RebalanceEvent(NamedTuple):
    """A change of the assignment that the application has yet to see."""

    kind: Literal["assign", "revoke", "lost"]
    partitions: frozenset[Partition]


class GroupMembership:
    """The member that one consumer is."""

    def __init__(
        self,
        client: Client,
        group: str,
        member: str,
        topics: frozenset[str],
        heartbeat_s: float,
        failed: Callable[[int], None],
    ) -> None:
        """Join with the subscription `topics`; `failed` gets an error that the application is to see."""
        self._client = client
        self._waiter = client._waiter
        self._group = group
        self._heartbeat_s = heartbeat_s
        self._failed = failed
        self._poll_limit_s = client._ms("max.poll.interval.ms", 300_000) / 1000
        self._client_id = client._name
        self._polled_at = self._waiter.now()
        self._sending = False
        self._due: float | None = None
        self._target: frozenset[Partition] | None = None
        self._left = False
        self._sent_full = False
        self.id = member
        self.topics = topics
        self.epoch = 0
        self.assigned: set[Partition] = set()
        self.event: RebalanceEvent | None = None
        self._beat()
        self._waiter.schedule(self._waiter.now() + 1.0, self._watch_polls)

    # -- the application

    def polled(self) -> None:
        """Take note of a poll: a member that was taken for hung joins again."""
        self._polled_at = self._waiter.now()
        if self._left and self.event is None:
            self._left = False
            self._rejoin()

    def subscribe(self, topics: frozenset[str]) -> None:
        """Change the subscription."""
        self.topics = topics
        self._sent_full = False
        self._beat()

    def handled(self, event: RebalanceEvent) -> None:
        """Go on after the application has seen a change: acknowledge, and take the next step."""
        if self.event is not event:  # all was lost while the application handled the change
            if self.event is not None:
                self._lose()
            return
        self.event = None
        if event.kind == "lost":
            self.assigned.clear()
            if not self._left:
                self._rejoin()
        elif event.kind == "revoke":  # the library goes on with what is new, which may be nothing
            new = (self._target or frozenset()) - self.assigned
            self.event = RebalanceEvent("assign", new)
        else:
            self._beat()
            self._reconcile()

    def leave(self) -> None:
        """Leave the group; waits a little for the coordinator."""
        if self._left or self.epoch <= 0:
            self._left = True
            return
        self._left = True
        broker = self._client._coordinator("group", self._group)
        if broker is None:
            return
        answers: list[Any] = []
        told = Heartbeat(self._group, self.id, LEAVE, self._client_id, None, None, self._poll_limit_s)
        self._client._links.send(
            broker,
            "ConsumerGroupHeartbeat",
            answering(lambda api: api.heartbeat(told)),
            answers.append,
            _LEAVING_S,
            _CHANNEL,
        )
        self._waiter.wait(self._waiter.now() + _LEAVING_S, lambda: bool(answers))

    # -- heartbeats

    def _beat(self, seconds: float = 0.0) -> None:
        """Send a heartbeat after so many seconds, unless one is due before."""
        due = self._waiter.now() + seconds
        if self._due is None or due < self._due:
            self._due = due
            self._waiter.schedule(due, lambda: self._send(due))

    def _send(self, due: float) -> None:
        if self._due != due:
            return
        self._due = None
        if self._client._closed or self._left or self._sending:  # an answer that is awaited brings the next one
            return
        broker = self._client._coordinator("group", self._group)
        if broker is None:
            self._beat(0.1)
            return
        self._sending = True
        joining = self.epoch == 0
        told = Heartbeat(
            self._group,
            self.id,
            self.epoch,
            self._client_id,
            None if self._sent_full and not joining else self.topics,
            self._owned(),
            self._poll_limit_s,
        )
        acknowledged = told.owned
        self._client._links.send(
            broker,
            "ConsumerGroupHeartbeat",
            answering(lambda api: api.heartbeat(told)),
            lambda answer: self._answered(answer, acknowledged),
            self._client._ms("session.timeout.ms", 45_000) / 1000 if joining else self._heartbeat_s,
            _CHANNEL,
        )

    def _owned(self) -> frozenset[Partition]:
        """Return what this member has, or will have by what it was told last: none of it may be another's yet."""
        return frozenset(self.assigned) | (self._target or frozenset())

    def _answered(self, answer: Any, told: frozenset[Partition] | None) -> None:
        self._sending = False
        if self._client._closed or self._left:
            return
        if isinstance(answer, HeartbeatAnswer):
            self._sent_full = True
            self.epoch = answer.epoch
            if answer.assigned is not None:
                self._target = answer.assigned
            self._beat(0.0 if told != self._owned() else self._heartbeat_s)
            self._reconcile()
        elif isinstance(answer, RefusedError) and answer.code in _MEMBER_GONE:
            self._lose()
        elif isinstance(answer, RefusedError) and answer.code != KafkaError.COORDINATOR_LOAD_IN_PROGRESS:
            self._client._coordinators.pop(("group", self._group), None)
            self._beat(0.1)
        elif isinstance(answer, Unanswered):
            self._sent_full = False
            if answer.code != KafkaError._TIMED_OUT:
                self._client._coordinators.pop(("group", self._group), None)
            self._beat(0.1)
        else:
            self._beat(0.1)

    def _lose(self) -> None:
        """Give up the assignment: the coordinator knows this member no more, or not with this epoch."""
        joined = self.epoch != 0
        self.epoch, self._target, self._sent_full = 0, None, False
        if self.assigned:
            self.event = RebalanceEvent("lost", frozenset(self.assigned))
        else:
            self.event = None
            self._beat(0.0 if joined else self._heartbeat_s)  # one that is fenced waits for its old session to end

    def _rejoin(self) -> None:
        self.epoch, self._target, self._sent_full = 0, None, False
        self._beat()

    def _reconcile(self) -> None:
        """Let the application give back what is not assigned any more, then take what is new."""
        if self.event is not None or self._target is None:
            return
        gone, new = self.assigned - self._target, self._target - self.assigned
        if gone:
            self.event = RebalanceEvent("revoke", frozenset(gone))
        elif new:
            self.event = RebalanceEvent("assign", frozenset(new))

    def _watch_polls(self) -> None:
        """Leave the group when the application does not poll."""
        if self._client._closed:
            return
        if not self._left and self._waiter.now() - self._polled_at > self._poll_limit_s:
            self._failed(KafkaError._MAX_POLL_EXCEEDED)
            epoch, self.epoch = self.epoch, 0
            self._left = True
            broker = self._client._coordinator("group", self._group)
            if broker is not None and epoch > 0:
                told = Heartbeat(self._group, self.id, LEAVE, self._client_id, None, None, self._poll_limit_s)
                self._client._links.send(
                    broker,
                    "ConsumerGroupHeartbeat",
                    answering(lambda api: api.heartbeat(told)),
                    lambda _: None,
                    60.0,
                    _CHANNEL,
                )
            self.event = RebalanceEvent("lost", frozenset(self.assigned)) if self.assigned else None
        self._waiter.schedule(self._waiter.now() + 1.0, self._watch_polls)
