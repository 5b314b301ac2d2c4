"""Looks into queues: a slow start ends no client, and what was begun serves the next question."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, TopicPartition

from streams.runtime import queue_lookup
from streams.runtime.errors import QueuesUnreadError
from streams.runtime.queue_lookup import QueueLookup
from streams.runtime.tasks import BackgroundTasks
from tests.unit.runtime._fakes import owned_assignment


class Told:
    """A record, or the end of a partition."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key

    def error(self) -> KafkaError | None:
        return None if self._key is not None else KafkaError(KafkaError._PARTITION_EOF)

    def key(self) -> bytes | None:
        return self._key

    def topic(self) -> str:
        return "t.in"


class Broker:
    """Answers no consumer before it is let go."""

    def __init__(self) -> None:
        self.begun, self.connected = threading.Event(), threading.Event()
        self.made: list[FakeConsumer] = []

    def consumer(self, *_: object, **__: object) -> FakeConsumer:
        self.made.append(FakeConsumer(self))
        self.begun.set()
        return self.made[-1]


class FakeConsumer:
    """Reads one record and the end."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.closed = False

    def assign(self, places: Sequence[TopicPartition]) -> None:
        assert [(place.topic, place.offset) for place in places] == [("t.in", 10)]

    def unassign(self) -> None:
        """Forget what was assigned."""

    def poll(self, seconds: float) -> Told | None:
        return Told(b"there") if self._broker.connected.wait(seconds) else None

    def consume(self, _most: int, _seconds: float) -> list[Told]:
        return [Told()]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(queue_lookup, "Consumer", made.consumer)
    monkeypatch.setattr(queue_lookup, "PATIENCE_S", 0.2)
    return made


def crash(error: Exception) -> None:
    raise error


async def test_who_asks_while_the_consumer_connects_is_refused_in_time_and_the_next_one_answered(
    broker: Broker, tmp_path: Path
) -> None:
    """Were the consumer given up with the question, the next one would connect as slowly, and so for ever."""
    looks, owned = QueueLookup({}, "g", ["t.in"], BackgroundTasks(crash)), owned_assignment(tmp_path)
    for _ in range(3):
        with pytest.raises(QueuesUnreadError, match=r"within 0\.2 s"):
            await looks.has(owned, b"there")
    broker.connected.set()
    assert await looks.has(owned, b"there")
    assert not await looks.has(owned, b"elsewhere")
    assert [one.closed for one in broker.made] == [False]
    looks.close()
    assert [one.closed for one in broker.made] == [True]


async def test_a_look_ends_with_its_partition(broker: Broker, tmp_path: Path) -> None:
    looks, owned = QueueLookup({}, "g", ["t.in"], BackgroundTasks(crash)), owned_assignment(tmp_path)
    asked = asyncio.create_task(looks.has(owned, b"there"))
    await asyncio.to_thread(broker.begun.wait)
    owned.kill()
    with pytest.raises(QueuesUnreadError, match="partition 0 is not owned here any more"):
        await asked
    assert [one.closed for one in broker.made] == [True]


async def test_a_silent_consumer_is_replaced(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_lookup, "_LOOK_S", 0.05)
    looks, owned = QueueLookup({}, "g", ["t.in"], BackgroundTasks(crash)), owned_assignment(tmp_path)
    with pytest.raises(QueuesUnreadError, match=r"longer than 0\.05 s"):
        await looks.has(owned, b"there")
    broker.connected.set()
    assert await looks.has(owned, b"there")
    assert [one.closed for one in broker.made] == [True, False]
