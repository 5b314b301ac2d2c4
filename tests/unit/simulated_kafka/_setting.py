"""A cluster with topics and processes, on virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from tests.simulation.kafka.cluster import Cluster, ClusterSettings
from tests.simulation.kafka.network import Calm, Network, Rule, ScriptedFaults
from tests.simulation.kafka.processes import Process
from tests.simulation.kafka.timing import VirtualTime


class Setting:
    """One cluster, its faults, and processes by name."""

    def __init__(self, *, brokers: int = 1, seed: int = 1, **settings: Any) -> None:
        self.time = VirtualTime()
        self.faults = ScriptedFaults(Calm(random.Random(seed)))
        self.network = Network(self.faults)
        self.cluster = Cluster(
            self.time, random.Random(seed + 1), self.network, ClusterSettings(brokers=brokers, **settings)
        )
        self._processes: dict[str, Process] = {}

    def process(self, name: str = "one") -> Process:
        """Return a process, a new one the first time and after its end."""
        if name not in self._processes:
            self._processes[name] = Process(self.cluster, name, random.Random(f"process {name}"))
        return self._processes[name]

    def kill(self, name: str) -> None:
        """End a process."""
        self._processes.pop(name).kill()

    def topic(self, name: str = "t", partitions: int = 1, replicas: int = 1, **config: str) -> str:
        """Make a topic."""
        admin = self.process("admin").admin({"bootstrap.servers": self.cluster.bootstrap})
        given = {key.replace("_", "."): value for key, value in config.items()}
        admin.create_topics([NewTopic(name, partitions, replicas, config=given)])[name].result(10)
        return name

    def producer(self, process: str = "one", **settings: Any) -> Any:
        """Return a producer of a process."""
        return self.process(process).producer(self._config({"linger_ms": 0} | settings))

    def transactional(self, name: str = "x", process: str = "one", **settings: Any) -> Any:
        """Return a producer whose transactions are open."""
        producer = self.producer(process, transactional_id=name, retry_backoff_ms=5, **settings)
        producer.init_transactions(30)
        return producer

    def consumer(self, process: str = "one", group: str = "g", **settings: Any) -> Any:
        """Return a consumer of a process."""
        usual = {"group_id": group, "auto_offset_reset": "earliest", "enable_auto_commit": False}
        return self.process(process).consumer(self._config(usual | settings))

    def admin(self, process: str = "one", **settings: Any) -> Any:
        """Return an admin client of a process."""
        return self.process(process).admin(self._config(settings))

    def values(self, topic: str = "t", partition: int = 0) -> list[bytes | None]:
        """Return the committed values of a partition."""
        consumer = self.consumer("reader", "reader", fetch_wait_max_ms=20)
        consumer.assign([TopicPartition(topic, partition, 0)])
        found = [message.value() for message in consumer.consume(1000, 1.0)]
        consumer.close()
        return found

    def next_calls(self, name: str, **fault: Any) -> None:
        """Let the next calls of an API suffer."""
        self.faults.add(Rule(name, **fault))

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Let time pass until a condition holds."""
        assert self.time.wait(self.time.now() + seconds, condition), "not in time"

    def _config(self, settings: dict[str, Any]) -> dict[str, Any]:
        given = {
            "bootstrap.servers": self.cluster.bootstrap,
            "reconnect.backoff.ms": 500,
            "reconnect.backoff.max.ms": 1000,
        }
        return given | {key.replace("_", "."): value for key, value in settings.items()}
