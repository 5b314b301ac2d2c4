"""How far a source is read where the last offsets are markers or aborted records, which are delivered to nobody."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.runtime import client_config, consumer_lag
from streams.runtime.assignment import PartitionAssignment, SourcePartition
from streams.runtime.consumer_lag import ConsumerLag
from streams.runtime.consumer_thread import ConsumerThread


class Came:
    """What the library hands over: a record, or the news that a partition's end was reached."""

    def __init__(self, offset: int, *, end: bool = False) -> None:
        self._offset = offset
        self._error = KafkaError(KafkaError._PARTITION_EOF) if end else None

    def error(self) -> KafkaError | None:
        return self._error

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def __len__(self) -> int:
        return 100


class Broker:
    """Says where partitions end, unless it does not answer."""

    def __init__(self) -> None:
        self.ends_at: int | None = 0
        self.clients = 0

    def client(self, *_: Any, **__: Any) -> Any:
        self.clients += 1
        return self

    def list_offsets(self, asked: dict[Any, Any], **_: Any) -> dict[Any, Any]:
        future: Future[Any] = Future()
        if self.ends_at is None:
            future.set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
        else:
            future.set_result(SimpleNamespace(offset=self.ends_at))
        return dict.fromkeys(asked, future)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(consumer_lag, "AdminClient", made.client)
    return made


@pytest.fixture
def owned() -> PartitionAssignment:
    made = PartitionAssignment(0, {"t": SourcePartition("t")})
    made.sources["t"].applied = 10
    return made


@pytest.fixture
def thread(owned: PartitionAssignment) -> Iterator[ConsumerThread]:
    handler = cast("Any", SimpleNamespace(deliver=lambda _records: None))
    client = {"bootstrap.servers": "127.0.0.1:1"}
    made = ConsumerThread(client_config.consumer(client, "g"), client_config.fetcher(client, "g"), handler)
    made._sources["t", 0] = owned.sources["t"]
    yield made
    made._consumer.close()
    made._fetcher.close()


def came(thread: ConsumerThread, *what: Came) -> None:
    thread._hand_over(cast("Any", list(what)))


@pytest.mark.parametrize("tail", [1, 2, 57])
def test_markers_and_aborted_records_at_the_end_are_no_lag(
    thread: ConsumerThread, owned: PartitionAssignment, broker: Broker, tail: int
) -> None:
    """Two transactions that overlap leave two markers; an aborted one leaves its records and a marker."""
    broker.ends_at = 12 + tail
    came(thread, Came(10), Came(11), Came(12 + tail, end=True))
    asked = ConsumerLag({})
    assert asked.of([owned]) == {("t", 0): 2 + tail}  # the two records are given and not applied yet
    owned.sources["t"].advance(12)
    assert asked.of([owned]) == {("t", 0): 0}


def test_a_source_with_nothing_but_markers_is_read_to_its_end(
    thread: ConsumerThread, owned: PartitionAssignment, broker: Broker
) -> None:
    broker.ends_at = 13
    came(thread, Came(13, end=True))
    assert ConsumerLag({}).of([owned]) == {("t", 0): 0}


def test_records_that_are_there_and_were_not_given_are_lag(
    thread: ConsumerThread, owned: PartitionAssignment, broker: Broker
) -> None:
    came(thread, Came(10), Came(12, end=True))
    owned.sources["t"].advance(11)
    broker.ends_at = 15
    assert ConsumerLag({}).of([owned]) == {("t", 0): 3}


def test_records_that_were_given_and_got_lost_in_the_process_are_lag(
    thread: ConsumerThread, owned: PartitionAssignment, broker: Broker
) -> None:
    broker.ends_at = 13
    came(thread, Came(10), Came(11), Came(13, end=True))
    assert ConsumerLag({}).of([owned]) == {("t", 0): 3}


def test_the_consumer_asks_to_be_told_of_ends() -> None:
    assert client_config.fetcher({}, "g")["enable.partition.eof"] is True


def test_after_a_failure_another_client_asks(owned: PartitionAssignment, broker: Broker) -> None:
    """One that was told of no broker, by a broker that had just come back, never asks again."""
    asked = ConsumerLag({})
    broker.ends_at = None
    assert asked.of([owned]) is None
    assert asked.of([owned]) is None
    broker.ends_at = 10
    assert asked.of([owned]) == {("t", 0): 0}
    assert asked.of([owned]) == {("t", 0): 0}
    assert broker.clients == 3
