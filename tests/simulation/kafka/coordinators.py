"""Which broker coordinates a group or a transactional id, and when it cannot: moved, lost, loading or not made yet."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final, Literal

from confluent_kafka import KafkaError

from tests.simulation.kafka.errors import RefusedError

CoordinatorKind = Literal["group", "transaction"]
KINDS: Final[tuple[CoordinatorKind, ...]] = ("group", "transaction")
TOPICS: Final = {"group": "__consumer_offsets", "transaction": "__transaction_state"}


class CoordinatorDirectory:
    """The leaders of the partitions of the two topics that coordinators keep their state in."""

    def __init__(
        self, now: Callable[[], float], *, partitions: int, load_s: float, loaded: Callable[[CoordinatorKind], None]
    ) -> None:
        """Begin with no leaders; `loaded` is called when a broker takes over, before it has loaded."""
        self._now = now
        self._load_s = load_s
        self._loaded = loaded
        self._leaders: dict[CoordinatorKind, list[int]] = {kind: [-1] * partitions for kind in KINDS}
        self._loading: dict[tuple[CoordinatorKind, int], float] = {}
        self._absent: dict[tuple[CoordinatorKind, int], float] = {}

    def partition(self, key: str) -> int:
        """Return the partition that holds the state of a group or id."""
        return zlib.crc32(key.encode()) % len(self._leaders["group"])

    def find(self, kind: CoordinatorKind, key: str) -> int:
        """Return the broker that coordinates; raises RefusedError while there is none."""
        place = (kind, self.partition(key))
        leader = self._leaders[kind][place[1]]
        if leader < 0 or self._absent.get(place, 0.0) > self._now():
            raise RefusedError(KafkaError.COORDINATOR_NOT_AVAILABLE)
        return leader

    def require(self, kind: CoordinatorKind, key: str, broker: int) -> None:
        """Refuse a request to a broker that does not coordinate, or not yet."""
        place = (kind, self.partition(key))
        if self._leaders[kind][place[1]] != broker or self._absent.get(place, 0.0) > self._now():
            raise RefusedError(KafkaError.NOT_COORDINATOR)
        if self._loading.get(place, 0.0) > self._now():
            raise RefusedError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS)

    def leads(self, kind: CoordinatorKind, broker: int) -> Callable[[str], bool]:
        """Return whether a broker coordinates a key."""
        return lambda key: self._leaders[kind][self.partition(key)] == broker

    def move(self, kind: CoordinatorKind, key: str, broker: int, load_s: float | None = None) -> None:
        """Let another broker coordinate, which first loads."""
        self._lead(kind, self.partition(key), broker, self._load_s if load_s is None else load_s)

    def lose(self, kind: CoordinatorKind, key: str, seconds: float) -> None:
        """Let nobody coordinate for a time, as while a leader is elected."""
        place = (kind, self.partition(key))
        self._absent[place] = self._now() + seconds
        self._loading[place] = self._now() + seconds + self._load_s
        self._loaded(kind)

    def leave(self, broker: int, alive: list[int]) -> None:
        """Give what a broker coordinates to others that are alive, or to nobody."""
        for kind, leaders in self._leaders.items():
            for number, leader in enumerate(leaders):
                if leader == broker:
                    self._lead(kind, number, alive[number % len(alive)] if alive else -1, self._load_s)

    def come_back(self, broker: int) -> None:
        """Let a broker coordinate what nobody coordinates."""
        for kind, leaders in self._leaders.items():
            for number, leader in enumerate(leaders):
                if leader < 0:
                    self._lead(kind, number, broker, self._load_s)

    def begin(self, brokers: list[int]) -> None:
        """Share out all partitions, without anything to load."""
        for kind in KINDS:
            self._leaders[kind] = [brokers[number % len(brokers)] for number in range(len(self._leaders[kind]))]

    def _lead(self, kind: CoordinatorKind, number: int, broker: int, load_s: float) -> None:
        self._leaders[kind][number] = broker
        if broker >= 0:
            self._loading[kind, number] = self._now() + load_s
            self._loaded(kind)
