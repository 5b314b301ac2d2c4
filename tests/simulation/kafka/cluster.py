"""The simulated cluster: brokers that fail and come back, and what they do by themselves."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from tests.simulation.kafka.coordinators import TOPICS, CoordinatorDirectory, CoordinatorKind
from tests.simulation.kafka.errors import RefusedError
from tests.simulation.kafka.group_coordinator import GroupCoordinator
from tests.simulation.kafka.network import Network
from tests.simulation.kafka.timing import Waiter
from tests.simulation.kafka.topic_store import TopicStore
from tests.simulation.kafka.transaction_coordinator import ProducerIdentity, TransactionCoordinator

Partition = tuple[str, int]

_AGAIN_S: Final = 0.05  # before a marker is sent again to a partition without a leader
_SESSIONS_S: Final = 0.25  # between two looks at the sessions of members


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Settings of the brokers; the defaults are those of this product's embedded broker."""

    brokers: int = 1
    session_s: float = 6.0
    heartbeat_s: float = 0.25
    broker_session_s: float = 3.0  # without a heartbeat to the controller a broker is fenced
    fenced_s: float = 0.3  # a broker that is back is in no metadata for so long
    load_s: float = 0.1  # a coordinator refuses requests while it loads
    create_s: float = 0.2  # the first use of coordinators makes their topics
    expiry_s: float = 1.0  # between two looks at open transactions
    marker_s: tuple[float, float] = (0.0005, 0.01)
    retention_check_s: float = 300.0
    clean_s: float = 15.0
    coordinator_partitions: int = 8
    bumps_epochs: bool = False  # at each end of a transaction; see `TransactionCoordinator`


@dataclass(slots=True)
class Broker:
    """One broker."""

    id: int
    state: Literal["up", "paused", "down"] = "up"
    fenced: bool = False
    change: int = 0  # counts changes of its state
    paused_at: float = 0.0
    inbox: deque[Callable[[], None]] = field(default_factory=deque)  # what came while it was paused


class ConnectionListener(Protocol):
    """A client that learns when connections are gone."""

    def connections_lost(self, broker: int) -> None:
        """All connections to a broker are closed."""


class Cluster:
    """Brokers in memory; clients reach them through a `Process`."""

    def __init__(
        self,
        waiter: Waiter,
        chance: random.Random,
        network: Network,
        settings: ClusterSettings | None = None,
        wall: Callable[[], float] | None = None,
    ) -> None:
        """Start the brokers; `wall` is their clock, in seconds since the epoch (`waiter.now` if not given)."""
        self.settings = settings or ClusterSettings()
        self.waiter = waiter
        self.chance = chance
        self.network = network
        self._wall = wall or waiter.now
        self.brokers = {number: Broker(number) for number in range(1, self.settings.brokers + 1)}
        self.topics = TopicStore(self.brokers, chance, self.now_ms)
        self.transactions = TransactionCoordinator(self, waiter.now, bumps_epochs=self.settings.bumps_epochs)
        self.groups = GroupCoordinator(self.topics.counts, waiter.now, session_s=self.settings.session_s)
        self.coordinators = CoordinatorDirectory(
            waiter.now,
            partitions=self.settings.coordinator_partitions,
            load_s=self.settings.load_s,
            loaded=self._loaded,
        )
        self.coordinators.begin(sorted(self.brokers))
        self._listeners: list[ConnectionListener] = []
        self._repeat(self.settings.expiry_s, self._abort_expired)
        self._repeat(_SESSIONS_S, self._expire_sessions)
        self._repeat(self.settings.retention_check_s, self.topics.retain)
        self._repeat(self.settings.clean_s, self.topics.compact)

    @property
    def bootstrap(self) -> str:
        """Return the address of the brokers."""
        return ",".join(f"broker-{number}:9092" for number in self.brokers)

    def now_ms(self) -> int:
        """Return the brokers' clock in milliseconds since the epoch."""
        return int(self._wall() * 1000)

    def register(self, listener: ConnectionListener) -> None:
        """Let a client know of lost connections from now on."""
        self._listeners.append(listener)

    def forget(self, listener: ConnectionListener) -> None:
        """Let it know no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def alive(self) -> list[int]:
        """Return the brokers that are in the metadata."""
        return [number for number, broker in self.brokers.items() if broker.state != "down" and not broker.fenced]

    # -- failures

    def pause(self, number: int) -> None:
        """Stop a broker (SIGSTOP): connections stay open, nothing is answered; after its session it is fenced."""
        broker = self._change(number, "paused")
        broker.paused_at = self.waiter.now()
        if len(self.brokers) > 1:
            self._after(self.settings.broker_session_s, broker, lambda: self._fence(broker))

    def resume(self, number: int) -> None:
        """Let a paused broker go on. One that was paused for longer than its session is fenced for a moment."""
        broker = self._change(number, "up")
        fenced = self.waiter.now() - broker.paused_at > self.settings.broker_session_s
        answers_first = self.chance.random() < 0.5  # before it learns that it is fenced
        if answers_first:
            self._serve(broker)
        if fenced and not broker.fenced:
            self._fence(broker)
        if broker.fenced:
            self._after(self.settings.fenced_s, broker, lambda: self._unfence(broker))
        self._serve(broker)

    @staticmethod
    def _serve(broker: Broker) -> None:
        while broker.inbox and broker.state == "up":
            broker.inbox.popleft()()

    def kill(self, number: int) -> None:
        """End a broker at once, and all connections to it; what it has appended stays."""
        broker = self._change(number, "down")
        broker.inbox.clear()
        if len(self.brokers) > 1:
            self._after(self.settings.broker_session_s, broker, lambda: self._fence(broker))
        else:
            self._fence(broker)
        for listener in list(self._listeners):
            listener.connections_lost(number)

    def stop(self, number: int) -> None:
        """End a broker in order: what it leads has moved before its connections close."""
        broker = self._change(number, "down")
        self._fence(broker)
        broker.inbox.clear()
        for listener in list(self._listeners):
            listener.connections_lost(number)

    def start(self, number: int) -> None:
        """Start a broker again: it takes connections, is in the metadata a moment later, and loads what it leads."""
        broker = self._change(number, "up")
        self._fence(broker)
        self._after(self.settings.fenced_s, broker, lambda: self._unfence(broker))

    def break_connections(self, number: int) -> None:
        """Close all connections to a broker, which goes on."""
        for listener in list(self._listeners):
            listener.connections_lost(number)

    def refuse_writes(self, partition: Partition, seconds: float) -> None:
        """Let the leader of a partition answer that it is not ready, for a time."""
        self.topics.partition(partition).refuses_until = self.waiter.now() + seconds

    def _change(self, number: int, state: Literal["up", "paused", "down"]) -> Broker:
        broker = self.brokers[number]
        broker.state = state
        broker.change += 1
        return broker

    def _after(self, seconds: float, broker: Broker, action: Callable[[], None]) -> None:
        """Act later, unless the broker's state has changed again by then."""
        change = broker.change

        def act() -> None:
            if broker.change == change:
                action()

        self.waiter.schedule(self.waiter.now() + seconds, act)

    def _fence(self, broker: Broker) -> None:
        broker.fenced = True
        others = sorted(self.alive())
        self.topics.leave(broker.id, set(others))
        self.coordinators.leave(broker.id, others)

    def _unfence(self, broker: Broker) -> None:
        broker.fenced = False
        self.topics.come_back(broker.id)
        self.coordinators.come_back(broker.id)

    # -- what brokers do by themselves

    def make_coordinators(self, kind: CoordinatorKind) -> None:
        """Make the topic in which coordinators keep their state, a moment later."""
        name = TOPICS[kind]

        def make() -> None:
            if name not in self.topics.topics and self.alive():
                config = {"cleanup.policy": "compact"}
                self.topics.create(name, self.settings.coordinator_partitions, 1, config, set(self.alive()))

        self.waiter.schedule(self.waiter.now() + self.settings.create_s, make)

    def deliver(self, number: int, handle: Callable[[], None]) -> bool:
        """Hand a request to a broker, which may be paused; return False when nobody listens there."""
        broker = self.brokers[number]
        if broker.state == "down":
            return False
        if broker.state == "paused":
            broker.inbox.append(handle)
        else:
            handle()
        return True

    def write_marker(
        self, partition: Partition, producer: ProducerIdentity, commit: bool, done: Callable[[], None]
    ) -> None:
        """Append the marker of a transaction to a partition, soon; a partition without a leader gets it later."""

        def write() -> None:
            if partition[0] not in self.topics.topics:
                done()  # a deleted topic needs none
                return
            state = self.topics.partition(partition)
            if not self._leads(state.leader):
                self._soon(write, _AGAIN_S)
                return
            settings = self.topics.settings(partition[0])
            state.log.end_transaction(*producer, self.now_ms(), commit=commit, settings=settings)
            state.changed()
            done()

        self._soon(write)

    def end_group_offsets(self, group: str, producer: ProducerIdentity, commit: bool, done: Callable[[], None]) -> None:
        """Let the pending offsets of a group count or drop them, soon."""

        def write() -> None:
            try:
                leader = self.coordinators.find("group", group)
            except RefusedError:
                leader = -1
            if self._leads(leader):
                self.groups.end_transaction(group, producer, commit=commit)
                done()
            else:
                self._soon(write, _AGAIN_S)

        self._soon(write)

    def _leads(self, number: int) -> bool:
        return number > 0 and self.brokers[number].state == "up"

    def _soon(self, action: Callable[[], None], more_s: float = 0.0) -> None:
        self.waiter.schedule(self.waiter.now() + more_s + self.chance.uniform(*self.settings.marker_s), action)

    def _loaded(self, kind: CoordinatorKind) -> None:
        if kind == "group":
            self.groups.restart_sessions(lambda _: True)

    def _abort_expired(self) -> None:
        self.transactions.abort_expired(lambda name: self._coordinates("transaction", name))

    def _expire_sessions(self) -> None:
        self.groups.expire(lambda name: self._coordinates("group", name))

    def _coordinates(self, kind: CoordinatorKind, key: str) -> bool:
        try:
            leader = self.coordinators.find(kind, key)
        except RefusedError:
            return False
        return self._leads(leader)

    def _repeat(self, seconds: float, action: Callable[[], None]) -> None:
        def act() -> None:
            action()
            self.waiter.schedule(self.waiter.now() + seconds, act)

        self.waiter.schedule(self.waiter.now() + seconds, act)
