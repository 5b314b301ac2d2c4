"""A new owner ends what a dead worker left open, only when that holds it back, and only what a dead worker left."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.runtime import fencing
from streams.runtime import restore as module
from streams.runtime.restore import Restorer
from streams.runtime.retention_gaps import RetentionGaps
from tests.unit.runtime._fakes import owned_assignment


class FakeBroker:
    """Holds committed offsets back while a transaction of an id is open."""

    def __init__(self, *open_ids: str, silent: bool = False) -> None:
        self.open_ids = set(open_ids)
        self.silent = silent  # does not end transactions in time
        self.asked: list[float] = []
        self.opened: list[str] = []

    def consumer(self, *_: Any, **__: Any) -> FakeConsumer:
        return FakeConsumer(self)

    def producer(self, settings: dict[str, Any], **_: Any) -> FakeProducer:
        return FakeProducer(self, settings["transactional.id"])


class FakeConsumer:
    def __init__(self, broker: FakeBroker) -> None:
        self._broker = broker

    def committed(self, wanted: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self._broker.asked.append(timeout)
        if self._broker.open_ids:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return [TopicPartition(place.topic, place.partition, 7) for place in wanted]

    def close(self) -> None:
        """Nothing is open."""


class FakeProducer:
    def __init__(self, broker: FakeBroker, transactional_id: str) -> None:
        self._broker, self._id = broker, transactional_id

    def init_transactions(self, _timeout: float) -> None:
        self._broker.opened.append(self._id)
        if self._broker.silent:
            self._broker.silent = False
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        self._broker.open_ids.discard(self._id)


def restored(tmp_path: Path, broker: FakeBroker, departed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for the committed offsets."""
    monkeypatch.setattr(module, "Consumer", broker.consumer)
    monkeypatch.setattr(fencing, "Producer", broker.producer)
    restorer = Restorer({}, "g", "journal", RetentionGaps(), lambda: departed)
    found = restorer._committed([owned_assignment(tmp_path)])
    assert set(found.values()) == {7}


def test_an_open_transaction_of_a_dead_worker_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broker = FakeBroker("g.b")
    restored(tmp_path, broker, ["b"], monkeypatch)
    assert broker.opened == ["g.b"]
    assert len(broker.asked) == 2
    assert broker.asked[0] < 2
    assert "ended the transaction that worker b left open" in caplog.messages


def test_nobody_is_fenced_where_nothing_holds_the_answer_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = FakeBroker()
    restored(tmp_path, broker, ["b"], monkeypatch)
    assert broker.opened == []


def test_a_broker_that_is_slow_to_end_it_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broker = FakeBroker("g.b", silent=True)
    restored(tmp_path, broker, ["b"], monkeypatch)
    assert broker.opened == ["g.b", "g.b"]
    assert any("is not ended yet" in line for line in caplog.messages)
