"""A process as a host of clients: what product code gets in the place of the library's classes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

from tests.simulation.kafka.admin import SimulatedAdmin
from tests.simulation.kafka.client import Client
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.consumer import SimulatedConsumer
from tests.simulation.kafka.producer import SimulatedProducer
from tests.simulation.kafka.timing import Waiter
from tests.simulation.kafka.transactional_producer import TransactionalProducer

AnyClient = TypeVar("AnyClient", bound=Client)


class Process:
    """One process and its clients, which are lost together."""

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        chance: random.Random,
        waiter: Waiter | None = None,
        wall: Callable[[], float] | None = None,
    ) -> None:
        """Begin without clients; `waiter` is the process's own time, `wall` its clock in seconds since the epoch."""
        self.name = name
        self._cluster = cluster
        self._chance = chance
        self._waiter = waiter or cluster.waiter
        self._wall = wall or self._waiter.now
        self._clients: list[Client] = []

    def consumer(self, *given: dict[str, Any], logger: object = None, **settings: Any) -> SimulatedConsumer:
        """Return a consumer; arguments as those of `confluent_kafka.Consumer`."""
        config, error_cb = self._config(given, settings)
        return self._add(SimulatedConsumer(self._cluster, self._waiter, self._random(), self.name, config, error_cb))

    def producer(self, *given: dict[str, Any], logger: object = None, **settings: Any) -> SimulatedProducer:
        """Return a producer, a transactional one with `transactional.id`."""
        config, error_cb = self._config(given, settings)
        kind = TransactionalProducer if "transactional.id" in config else SimulatedProducer
        return self._add(kind(self._cluster, self._waiter, self._random(), self.name, config, error_cb, self._wall))

    def admin(self, *given: dict[str, Any], logger: object = None, **settings: Any) -> SimulatedAdmin:
        """Return an admin client."""
        config, error_cb = self._config(given, settings)
        return self._add(SimulatedAdmin(self._cluster, self._waiter, self._random(), self.name, config, error_cb))

    def kill(self) -> None:
        """End all clients at once: nothing is flushed and no group is left, requests under way arrive."""
        for client in self._clients:
            client._shut()
        self._clients.clear()

    def _add(self, client: AnyClient) -> AnyClient:
        self._clients = [one for one in self._clients if not one._closed]
        self._clients.append(client)
        return client

    def _random(self) -> random.Random:
        return random.Random(self._chance.getrandbits(64))

    @staticmethod
    def _config(given: tuple[dict[str, Any], ...], settings: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        config: dict[str, Any] = {}
        for one in given:
            config |= one
        config |= settings
        return config, config.pop("error_cb", None)
