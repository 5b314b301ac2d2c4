"""A producer whose client failed for good: what waits fails at once, and another client takes its place, at a pace."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.run import RunSubmitted
from tests.faults.rig.waiting import until
from topics import producer as module
from topics.errors import NotAcknowledged, TopicError
from topics.kafka import KafkaConfig
from topics.producer import EventProducer

EVENT = RunSubmitted(run_id="r", agent="a")


class FakeMessage:
    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 7


class FakeCluster:
    """Refuses clients, as one does whose user may not write; `granted` is a right that comes later."""

    def __init__(self) -> None:
        self.granted = threading.Event()
        self.clients: list[FakeClient] = []
        self.denied: KafkaError | None = None  # what each record is refused with

    def client(self, *_: Any, **__: Any) -> FakeClient:
        self.clients.append(FakeClient(self))
        return self.clients[-1]


class FakeClient:
    """As the library does: a fatal error is raised by `poll`, once, and what waits is told nothing."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster
        self._waiting: list[Callable[[KafkaError | None, FakeMessage], None]] = []
        self._error: KafkaError | None = None
        self._fatal = not cluster.granted.is_set()

    def produce(self, *_: Any, on_delivery: Callable[[KafkaError | None, FakeMessage], None], **__: Any) -> None:
        self._waiting.append(on_delivery)

    def poll(self, seconds: float) -> int:
        if self._fatal:
            self._fatal, self._error = False, KafkaError(KafkaError._FATAL)
            raise KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED, "not allowed", fatal=True))
        if self._error is None or self._error.code() == KafkaError._PURGE_QUEUE:
            waiting, self._waiting = self._waiting, []
            for told in waiting:
                told(self._error or self._cluster.denied, FakeMessage())
        threading.Event().wait(min(seconds, 0.005))
        return 0

    def purge(self, **_: Any) -> None:
        self._error = KafkaError(KafkaError._PURGE_QUEUE)

    def flush(self, _: float) -> int:
        return 0

    def __len__(self) -> int:
        return len(self._waiting)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    made, before = FakeCluster(), set(threading.enumerate())
    monkeypatch.setattr(module, "Producer", made.client)
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.05)
    yield made
    for thread in set(threading.enumerate()) - before:
        if thread.name == "event-producer":
            thread.join(10)
            assert not thread.is_alive(), "a client that was replaced is still served"


def producer() -> EventProducer:
    return EventProducer(KafkaConfig("nowhere:1"), Codec(FileRegistry()), "/tests", now_ms=lambda: 0)


async def sent(made: EventProducer) -> str | None:
    """Send; return what went wrong, None when nothing did, within a time that the library's own never is."""
    try:
        async with asyncio.timeout(30):
            await made.send("t", EVENT)
    except NotAcknowledged as error:
        return str(error)
    return None


async def test_what_waits_in_a_client_that_failed_fails_at_once_and_says_why(cluster: FakeCluster) -> None:
    made = producer()
    assert "not allowed" in (await sent(made) or "")
    assert "not allowed" in (await made.check() or "")
    await made.close()


async def test_once_the_right_is_granted_it_writes_again_and_is_well_again(cluster: FakeCluster) -> None:
    made = producer()
    assert await sent(made) is not None
    cluster.granted.set()

    async def writes() -> bool:
        return await sent(made) is None

    await until(writes)
    assert await made.check() is None
    await made.close()


async def test_a_check_alone_replaces_the_client_of_a_process_that_gets_no_requests(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FAILED_S", 0.5)
    made = producer()
    assert await sent(made) is not None
    assert await made.check() is not None
    cluster.granted.set()

    async def well() -> bool:
        return await made.check() is None

    await until(well)
    assert await sent(made) is None
    await made.close()


async def test_clients_are_replaced_at_a_pace(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 3600.0)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 3600.0)
    made = producer()
    for _ in range(50):
        assert await sent(made) is not None
    assert len(cluster.clients) == 2
    with pytest.raises(NotAcknowledged, match="not allowed"):
        made.begin("t", EVENT)
    await made.close()


async def test_records_that_are_denied_are_no_readiness(cluster: FakeCluster) -> None:
    cluster.granted.set()
    made = producer()
    assert await made.check() is None
    cluster.denied = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "no right to write")
    assert "lacks a right on topic t: `streams topics acl`" in (await sent(made) or "")
    assert "no right to write" in (await made.check() or "")
    cluster.denied = None
    assert await sent(made) is None
    assert await made.check() is None
    await made.close()
    with pytest.raises(TopicError):
        made.begin("t", EVENT)
    assert "closed" in (await made.check() or "")


async def test_a_client_that_has_lost_the_brokers_is_replaced(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no fatal error: the client only says once that all brokers are down, as it does in any outage."""
    cluster.granted.set()
    monkeypatch.setattr(module, "Contact", LostAtTheSecondLook)
    made = producer()
    assert await sent(made) is None
    made._noticed(KafkaError(KafkaError._TRANSPORT))
    assert made._contact is None
    made._noticed(KafkaError(KafkaError._ALL_BROKERS_DOWN))

    async def replaced() -> bool:
        return await sent(made) is None and len(cluster.clients) == 2

    await until(replaced)
    await made.close()


async def test_a_client_that_loses_the_brokers_by_the_answer_to_a_look_is_replaced(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lone broker that is back names no broker for a moment: the client is answered, and lost by that answer."""
    cluster.granted.set()
    made = producer()
    monkeypatch.setattr(module, "Contact", lambda _settings: LostByAnAnswer(made))
    assert await sent(made) is None
    made._noticed(KafkaError(KafkaError._ALL_BROKERS_DOWN))

    async def replaced() -> bool:
        return await sent(made) is None and len(cluster.clients) == 2

    await until(replaced)
    await made.close()


class LostByAnAnswer:
    """Answered at the first look, during which the client says that all brokers are down; lost at the second."""

    def __init__(self, made: EventProducer) -> None:
        self.suspect = True
        self._made = made
        self._looks = 0

    def noted(self, _error: KafkaError) -> None:
        self.suspect = True

    def lost(self, _client: object, topic: str) -> bool:
        self._looks += 1
        if self._looks == 1:
            self.suspect = False
            self._made._noticed(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        return self._looks > 1


class LostAtTheSecondLook:
    def __init__(self, _settings: object) -> None:
        self.suspect = True
        self._looks = 0

    def noted(self, _error: KafkaError) -> None:
        """Do nothing: it is suspect already."""

    def lost(self, _client: object, topic: str) -> bool:
        assert topic == "t"
        self._looks += 1
        return self._looks > 1
