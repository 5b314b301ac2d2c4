"""What all clients of the library have: metadata, coordinators, requests that are tried again, and callbacks."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    BrokerMetadata,
    ClusterMetadata,
    PartitionMetadata,
    TopicMetadata,
)

from tests.simulation.kafka.broker_api import BrokerApi, MetadataAnswer, PartitionInfo
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.coordinators import CoordinatorKind
from tests.simulation.kafka.errors import RefusedError, failure, kafka_error
from tests.simulation.kafka.links import Handle, Links, Unanswered
from tests.simulation.kafka.timing import Waiter

Partition = tuple[str, int]

#: Refusals after which the library asks again, with fresh metadata or of another coordinator.
RETRIABLE: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.REQUEST_TIMED_OUT,
    }
)
_MOVED: Final = frozenset({KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE})
_REFRESH_S: Final = 0.1  # at least between two requests for metadata that something waits for
_METADATA_S: Final = 10.0


def answering(ask: Callable[[BrokerApi], Any]) -> Handle:
    """Return a handle that answers at once."""
    return lambda api, reply: reply(ask(api))


class Client:
    """One client of a process; callbacks run only in calls of the application."""

    def __init__(
        self,
        cluster: Cluster,
        waiter: Waiter,
        chance: random.Random,
        process: str,
        config: dict[str, Any],
        error_cb: Callable[[KafkaError], None] | None,
    ) -> None:
        """Connect to a bootstrap server at once, as the library does."""
        self._cluster = cluster
        self._waiter = waiter
        self._chance = chance
        self._config = {name: value for name, value in config.items() if not callable(value)}
        self._error_cb = error_cb or config.get("error_cb")
        self._name = str(config.get("client.id", "rdkafka"))
        self._callbacks: deque[Callable[[], None]] = deque()
        backoff_s = self._ms("reconnect.backoff.ms", 100) / 1000, self._ms("reconnect.backoff.max.ms", 10_000) / 1000
        self._links = Links(cluster, waiter, chance, self, process=process, client=self._name, backoff_s=backoff_s)
        self._bootstrap = _numbers(str(config.get("bootstrap.servers", "")))
        self._brokers: list[int] | None = None  # None until metadata tells them
        self._topics: dict[str, list[PartitionInfo] | None] = {}
        self._wanted: set[str] = set()  # topics whose metadata is kept fresh
        self._asked_at = float("-inf")
        self._asking = False
        self._refresh_due = False
        self._coordinators: dict[tuple[CoordinatorKind, str], int] = {}
        self._finding: set[tuple[CoordinatorKind, str]] = set()
        self._told_down = False
        self._closed = False
        self.lost = False  # the metadata named no broker: this client has nobody to ask, for ever
        cluster.register(self)
        waiter.schedule(waiter.now(), self._connect_any)

    # -- settings

    def _ms(self, name: str, default: float) -> float:
        return float(self._config.get(name, default))

    def _flag(self, name: str, *, default: bool) -> bool:
        return str(self._config.get(name, default)).lower() == "true"

    # -- connections

    def connections_lost(self, broker: int) -> None:
        """Take note that a broker has closed its connections."""
        waiter = self._waiter
        waiter.schedule(waiter.now(), lambda: None if self._closed else self._links.drop(broker))

    def connected(self, broker: int) -> None:
        """Ask a new connection for metadata."""
        self._told_down = False
        self._refresh(broker)

    def disconnected(self, broker: int, code: int, reason: str) -> None:
        """Report a connection that is gone, and that all are."""
        if self._closed:
            return
        self._report(kafka_error(code, f"broker-{broker}:9092/{broker}: {reason}"))
        if self._links.all_down() and not self._told_down:
            self._told_down = True
            count = len(self._brokers or self._bootstrap)
            self._report(kafka_error(KafkaError._ALL_BROKERS_DOWN, f"{count}/{count} brokers are down"))
        self._waiter.schedule(self._waiter.now(), self._connect_any)

    def _connect_any(self) -> None:
        """Keep one connection up, as the library does for its metadata."""
        if not self._closed and not self.lost and not self._links.up():
            self._links.connect(self._chance.choice(self._brokers or self._bootstrap))

    def _report(self, error: KafkaError) -> None:
        if self._error_cb is not None:
            callback = self._error_cb
            self._callbacks.append(lambda: callback(error))

    def _any_broker(self) -> int | None:
        """Return a broker that is connected; None while there is none: then one is tried."""
        up = self._links.up()
        if not up:
            self._connect_any()
            return None
        return self._chance.choice(up)

    # -- metadata

    def _refresh(self, broker: int | None = None) -> None:
        """Ask for the brokers and the topics that are of interest, unless that is under way."""
        chosen = self._any_broker() if broker is None else broker
        if self._asking or chosen is None or self._closed:
            return
        self._asking, self._asked_at = True, self._waiter.now()
        wanted = sorted(self._wanted)

        def settle(answer: Any) -> None:
            self._asking = False
            if isinstance(answer, MetadataAnswer):
                self._learn(answer)
            elif self._wanted:
                self._stale()

        self._links.send(chosen, "Metadata", answering(lambda api: api.metadata(wanted)), settle, _METADATA_S)

    def _learn(self, answer: MetadataAnswer) -> None:
        if self._closed or self.lost:
            return
        if not answer.brokers:
            self._lose()
            return
        self._brokers = answer.brokers
        self._topics.update(answer.topics)
        self._metadata_changed()

    def _metadata_changed(self) -> None:
        """React to new metadata."""

    def _lose(self) -> None:
        """Let go of all brokers for good: see `topics.contact` for why the library does that."""
        self.lost = True
        self._topics.clear()
        self._coordinators.clear()
        for broker in self._brokers or self._bootstrap:
            self._links.drop(broker)
        if not self._told_down:
            self._told_down = True
            self._report(kafka_error(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))

    def _leader(self, place: Partition) -> int | None:
        """Return the leader of a partition, None while it is not known: then it is asked for."""
        self._wanted.add(place[0])
        if self.lost:
            return None
        found = self._topics.get(place[0])
        if found is not None and place[1] < len(found) and found[place[1]].leader > 0:
            return found[place[1]].leader
        self._stale()
        return None

    def _is_missing(self, place: Partition) -> bool:
        """Tell whether fresh metadata has said that a partition does not exist."""
        return place[0] in self._topics and place[1] >= len(self._topics[place[0]] or ())

    def _stale(self, topic: str | None = None) -> None:
        """Ask for fresh metadata, soon."""
        if topic is not None:
            self._topics.pop(topic, None)
        if not self._asking and not self._refresh_due and not self.lost:
            self._refresh_due = True
            self._waiter.schedule(max(self._waiter.now(), self._asked_at + _REFRESH_S), self._refresh_soon)

    def _refresh_soon(self) -> None:
        self._refresh_due = False
        self._refresh()

    # -- coordinators

    def _coordinator(self, kind: CoordinatorKind, key: str) -> int | None:
        """Return the broker that coordinates, None while it is not known: then it is asked for."""
        place = (kind, key)
        if place not in self._coordinators and place not in self._finding:
            broker = self._any_broker()
            if broker is not None:
                self._finding.add(place)
                self._links.send(
                    broker,
                    "FindCoordinator",
                    answering(lambda api: api.find_coordinator(kind, key)),
                    lambda answer: self._found(place, answer),
                    _METADATA_S,
                )
        return self._coordinators.get(place)

    def _found(self, place: tuple[CoordinatorKind, str], answer: Any) -> None:
        if isinstance(answer, int):
            self._finding.discard(place)
            self._coordinators[place] = answer
        else:
            self._waiter.schedule(self._waiter.now() + _REFRESH_S, lambda: self._finding.discard(place))

    # -- requests that are tried again

    def _exchange(
        self,
        name: str,
        route: Callable[[], int | None],
        ask: Callable[[BrokerApi], Any],
        *,
        timeout_s: float,
        coordinator: tuple[CoordinatorKind, str] | None = None,
        final: frozenset[int] = frozenset(),
    ) -> Exchange:
        return Exchange(self, name, route, answering(ask), timeout_s, coordinator, final)

    def _await(self, exchange: Exchange) -> Any:
        """Return the answer; raises KafkaException for a refusal, or when none has come in time."""
        self._waiter.wait(exchange.deadline if math.isfinite(exchange.deadline) else None, lambda: exchange.done)
        exchange.cancel()
        answer = exchange.answer
        if isinstance(answer, RefusedError):
            raise KafkaException(kafka_error(answer.code, answer.reason or None))
        if isinstance(answer, Unanswered):
            raise failure(answer.code)
        return answer

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
        """Return the metadata of a topic or of all; raises KafkaException when no broker answers in time."""
        wanted = None if topic is None else [topic]
        limit = 60.0 if timeout < 0 else timeout
        route = self._any_broker
        answer = self._await(self._exchange("Metadata", route, lambda api: api.metadata(wanted), timeout_s=limit))
        self._learn(answer)
        return _cluster_metadata(answer, self._cluster)

    # -- callbacks

    def _serve(self) -> int:
        """Run the callbacks that are due; return how many."""
        count = 0
        while self._callbacks:
            self._callbacks.popleft()()
            count += 1
        return count

    def _shut(self) -> None:
        """End the client: nothing of it happens any more."""
        self._closed = True
        self._links.close()
        self._cluster.forget(self)


class Exchange:
    """One question that is asked again until it is answered, refused for good, or the time is over."""

    def __init__(
        self,
        client: Client,
        name: str,
        route: Callable[[], int | None],
        handle: Handle,
        timeout_s: float,
        coordinator: tuple[CoordinatorKind, str] | None,
        final: frozenset[int],
    ) -> None:
        """Ask at once; codes in `final` are not asked again."""
        self._client = client
        self._name = name
        self._route = route
        self._handle = handle
        self._coordinator = coordinator
        self._final = final
        self._waiter = client._waiter
        self._cancelled = False
        self.deadline = self._waiter.now() + timeout_s
        self.done = False
        self.answer: Any = Unanswered(KafkaError._TRANSPORT)
        self._callbacks: list[Callable[[Any], None]] = []
        self._ask()
        if math.isfinite(self.deadline):
            self._waiter.schedule(self.deadline, self._give_up)

    def then(self, callback: Callable[[Any], None]) -> None:
        """Give the answer to a callback once it is there, an Unanswered when the time is over."""
        if self.done:
            callback(self.answer)
        else:
            self._callbacks.append(callback)

    def cancel(self) -> None:
        """Ask no more."""
        self._cancelled = True

    def _ask(self) -> None:
        if self._cancelled or self.done or self._client._closed:
            return
        try:
            broker = self._route()
        except RefusedError as error:
            self._finish(error)
            return
        if broker is None:
            self._again(0.02)
            return
        self.answer = Unanswered(KafkaError._TIMED_OUT)
        limit = self._client._ms("socket.timeout.ms", 60_000) / 1000
        self._client._links.send(broker, self._name, self._handle, self._take, limit)

    def _take(self, answer: Any) -> None:
        if self._cancelled or self.done:
            return
        if isinstance(answer, Unanswered):
            self.answer = answer
            self._forget_coordinator()
            self._again(self._backoff())
        elif isinstance(answer, RefusedError) and answer.code in RETRIABLE - self._final:
            if answer.code in _MOVED:
                self._forget_coordinator()
            if answer.code in (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE):
                self._client._topics.clear()
            self._again(self._backoff())
        else:
            self._finish(answer)

    def _backoff(self) -> float:
        return max(self._client._ms("retry.backoff.ms", 100) / 1000, 0.001)

    def _forget_coordinator(self) -> None:
        if self._coordinator is not None:
            self._client._coordinators.pop(self._coordinator, None)

    def _again(self, seconds: float) -> None:
        self._waiter.schedule(self._waiter.now() + seconds, self._ask)

    def _give_up(self) -> None:
        if not self.done and not self._cancelled:
            self._finish(self.answer)

    def _finish(self, answer: Any) -> None:
        self.done, self.answer = True, answer
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(answer)


def _numbers(servers: str) -> list[int]:
    """Return the ids of brokers by their addresses, such as `broker-1:9092`; an unknown host is broker 0."""
    hosts = [server.strip().rpartition(":")[0] for server in servers.split(",")]
    return [int(host.removeprefix("broker-")) if host.startswith("broker-") else 0 for host in hosts]


def _cluster_metadata(answer: MetadataAnswer, cluster: Cluster) -> ClusterMetadata:
    """Return metadata as the library has it."""
    found: Any = ClusterMetadata()
    found.cluster_id = "simulated"
    found.controller_id = min(cluster.brokers)
    for number in answer.brokers:
        broker: Any = BrokerMetadata()
        broker.id, broker.host, broker.port = number, f"broker-{number}", 9092
        found.brokers[number] = broker
    for name, partitions in answer.topics.items():
        topic = TopicMetadata()
        topic.topic = name
        topic.error = kafka_error(KafkaError.UNKNOWN_TOPIC_OR_PART) if partitions is None else None
        for number, info in enumerate(partitions or ()):
            partition = PartitionMetadata()
            partition.id, partition.leader = number, info.leader
            partition.replicas, partition.isrs = info.replicas, info.in_sync
            partition.error = None if info.leader > 0 else kafka_error(KafkaError.LEADER_NOT_AVAILABLE)
            topic.partitions[number] = partition
        found.topics[name] = topic
    metadata: ClusterMetadata = found
    return metadata
