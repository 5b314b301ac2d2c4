"""The two worlds of the suite: a real broker with the real library, and the simulated ones on virtual time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.network import Calm, Network, ScriptedFaults
from tests.simulation.kafka.processes import Process
from tests.simulation.kafka.timing import VirtualTime

ANSWER_S = 30.0


class World(Protocol):
    """What a test may use."""

    def consumer(self, **settings: Any) -> Any:
        """Return a consumer; `_` in a name stands for `.`."""

    def producer(self, **settings: Any) -> Any:
        """Return a producer."""

    def admin(self) -> Any:
        """Return an admin client."""

    def now(self) -> float:
        """Return seconds of a clock that never goes back."""

    def close(self) -> None:
        """End all clients."""


class RealWorld:
    """The real library against a real broker."""

    def __init__(self, bootstrap: str) -> None:
        self._settings: dict[str, Any] = {"bootstrap.servers": bootstrap, "log_level": 0}
        self._admin = AdminClient(self._settings, logger=None)
        self._consumers: list[Consumer] = []

    def consumer(self, **settings: Any) -> Any:
        made = Consumer(self._settings | dotted(settings), logger=None)
        self._consumers.append(made)
        return made

    def producer(self, **settings: Any) -> Any:
        return Producer(self._settings | dotted(settings), logger=None)

    def admin(self) -> Any:
        return self._admin  # its futures fail with its end

    def now(self) -> float:
        return time.monotonic()

    def close(self) -> None:
        for consumer in self._consumers:
            consumer.close()


class SimulatedWorld:
    """The simulated library against simulated brokers."""

    def __init__(self, seed: int) -> None:
        self.time = VirtualTime()
        self.faults = ScriptedFaults(Calm(random.Random(seed)))
        chance = random.Random(seed + 1)
        self.cluster = Cluster(self.time, chance, Network(self.faults))
        self.process = Process(self.cluster, "tests", chance)

    def consumer(self, **settings: Any) -> Any:
        return self.process.consumer({"bootstrap.servers": self.cluster.bootstrap} | dotted(settings))

    def producer(self, **settings: Any) -> Any:
        return self.process.producer({"bootstrap.servers": self.cluster.bootstrap} | dotted(settings))

    def admin(self) -> Any:
        return self.process.admin({"bootstrap.servers": self.cluster.bootstrap})

    def now(self) -> float:
        return self.time.now()

    def close(self) -> None:
        self.process.kill()


def dotted(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings by the library's names."""
    return {name.replace("_", "."): value for name, value in settings.items()}


def make_topic(world: World, name: str, partitions: int = 1, **config: Any) -> str:
    """Create a topic and wait for it."""
    new = NewTopic(name, partitions, 1, config={key: str(value) for key, value in dotted(config).items()})
    for future in world.admin().create_topics([new]).values():
        future.result(ANSWER_S)
    client = world.admin()
    wait_for(world, client, lambda: all_led(client, name, partitions))
    return name


def all_led(client: Any, topic: str, partitions: int) -> bool:
    """Tell whether all partitions have leaders."""
    found = client.list_topics(topic, timeout=ANSWER_S).topics[topic]
    return found.error is None and sum(one.leader >= 0 for one in found.partitions.values()) == partitions


def wait_for(world: World, client: Any, condition: Callable[[], bool], seconds: float = ANSWER_S) -> None:
    """Poll a client until a condition holds."""
    end = world.now() + seconds
    while not condition():
        assert world.now() < end, "not in time"
        client.poll(0.05)


def transactional(world: World, name: str, **settings: Any) -> Any:
    """Return a transactional producer with its transactions opened."""
    producer = world.producer(transactional_id=name, linger_ms=0, retry_backoff_ms=5, **settings)
    open_transactions(world, producer)
    return producer


def open_transactions(world: World, producer: Any) -> None:
    """Open transactions, tried again as the library asks for."""
    end = world.now() + ANSWER_S
    while True:
        try:
            producer.init_transactions(5)
        except KafkaException as error:
            if not error.args[0].retriable() or world.now() > end:
                raise
        else:
            return


def reader(world: World, group: str = "nobody", **settings: Any) -> Any:
    """Return a consumer that joins no group by itself."""
    usual = {
        "group_id": group,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "enable_partition_eof": True,
        "fetch_wait_max_ms": 50,
        "isolation_level": "read_committed",
    }
    return world.consumer(**(usual | settings))


def read_all(world: World, topic: str, partition: int = 0, **settings: Any) -> tuple[list[tuple[int, Any]], int]:
    """Return offsets and values of a partition up to the first end that is told, and the offset of that end."""
    consumer = reader(world, **settings)
    consumer.assign([TopicPartition(topic, partition, 0)])
    found: list[tuple[int, Any]] = []
    try:
        for message in messages(world, consumer):
            error = message.error()
            if error is None:
                found.append((int(message.offset() or 0), message.value()))
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                return found, int(message.offset() or 0)
    finally:
        consumer.close()
    raise AssertionError("the end did not come")


def messages(world: World, consumer: Any, seconds: float = ANSWER_S) -> Iterator[Message]:
    """Yield what a consumer gets, for so many seconds."""
    end = world.now() + seconds
    while world.now() < end:
        message = consumer.poll(0.2)
        if message is not None:
            yield message


def failure_of(call: Callable[[], Any]) -> KafkaError:
    """Return the error that a call raises."""
    try:
        call()
    except KafkaException as error:
        found: KafkaError = error.args[0]
        return found
    raise AssertionError("it raised nothing")
