"""Three brokers on loopback, each a controller too: topics have three replicas, two of which must be in sync."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from streams.local.broker_settings import SHARED, SINGLE
from streams.local.errors import StartError
from streams.local.jars import KAFKA_VERSION
from streams.local.kafka import EmbeddedKafka
from streams.local.ports import LOOPBACK, free_ports
from streams.local.spawn import spawn

SIZE = 3
CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAAQ"
# Kafka's own times for the loss of a broker, not the short ones of a lone node.
_OF_ONE_NODE = ("broker.heartbeat.interval.ms", "broker.session.timeout.ms")
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
_REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
}


class Node(EmbeddedKafka):
    """One broker of the cluster, on ports that it keeps."""

    def __init__(
        self, folder: Path, cache_dir: Path, number: int, ports: list[tuple[int, int]], settings: Mapping[str, str]
    ) -> None:
        super().__init__(folder, cache_dir)
        self._settings = settings
        self._number = number
        self._all = ports
        self._ports = list(ports[number])

    def _settle_ports(self) -> None:
        port, controller = self._all[self._number]
        voters = ",".join(f"{place + 1}@{LOOPBACK}:{other}" for place, (_, other) in enumerate(self._all))
        given = {name: value for name, value in SINGLE.items() if name not in _OF_ONE_NODE} | SHARED | _REPLICATED
        given |= {
            **self._settings,
            "node.id": str(self._number + 1),
            "controller.quorum.voters": voters,
            "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
            "log.dirs": str(self.folder / "data"),
        }
        text = "".join(f"{name}={value}\n" for name, value in given.items())
        (self.folder / "server.properties").write_text(text, "utf-8")

    def _format(self) -> None:
        arguments = ["format", "--cluster-id", CLUSTER_ID, "--config", str(self.folder / "server.properties")]
        command = self._command("kafka.tools.StorageTool", *arguments, "--ignore-formatted", cached=False)
        with self.log.open("ab") as log:
            status = spawn(command, output=log).wait()
        if status != 0:
            raise StartError(f"the storage of broker {self._number + 1} could not be prepared: see {self.log}")
        (self.folder / "version").write_text(KAFKA_VERSION, "utf-8")


class Cluster:
    """Three brokers, started together."""

    def __init__(self, folder: Path, cache_dir: Path, settings: Mapping[str, str] = NO_SETTINGS) -> None:
        """Choose the ports; `settings` are further ones of each broker."""
        found = free_ports([0] * (2 * SIZE))
        ports = [(found[2 * place], found[2 * place + 1]) for place in range(SIZE)]
        self.nodes = [
            Node(folder / f"broker-{number + 1}", cache_dir, number, ports, settings) for number in range(SIZE)
        ]
        self.bootstrap = ",".join(f"{LOOPBACK}:{port}" for port, _ in ports)
        self._ends = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start all, and wait until all answer: none does alone, without a quorum."""
        for node in self.nodes:
            self._ends.push_async_callback(asyncio.to_thread, node.kill)
        try:
            await asyncio.gather(*(asyncio.to_thread(node.start) for node in self.nodes))
            await asyncio.gather(*(asyncio.to_thread(node.wait_ready, 120) for node in self.nodes))
        except BaseException:
            await self._ends.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all."""
        await self._ends.aclose()
