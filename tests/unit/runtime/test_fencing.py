"""A new owner ends what a dead worker left open, only when that holds it back, and only what a dead worker left."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime import fencing
from streams.runtime import restore as module
from streams.runtime.fencing import OffsetOwner
from streams.runtime.group_members import GroupMember
from streams.runtime.restore import Restorer
from streams.runtime.retention_gaps import RetentionGaps
from tests.unit.runtime._fakes import owned_assignment

NAMES = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))


class FakeBroker:
    """Holds committed offsets back while a transaction of an id is open."""

    def __init__(self, *open_ids: str, owner: str, members: list[str] | None, silent: bool = False) -> None:
        self.open_ids = set(open_ids)
        self.owner = owner  # the metadata of the committed offsets
        self.silent = silent  # does not end the first transaction in time
        self.members = None if members is None else frozenset(GroupMember(one, one) for one in members)
        self.asked: list[float] = []
        self.opened: list[str] = []

    def consumer(self, settings: dict[str, Any], **_: Any) -> FakeConsumer:
        return FakeConsumer(self, stable=settings["isolation.level"] == "read_committed")

    def producer(self, settings: dict[str, Any], **_: Any) -> FakeProducer:
        return FakeProducer(self, settings["transactional.id"])

    def of(self, group: str) -> frozenset[GroupMember] | None:
        assert group == "g"
        return self.members


class FakeConsumer:
    def __init__(self, broker: FakeBroker, *, stable: bool) -> None:
        self._broker, self._stable = broker, stable

    def committed(self, wanted: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        if self._stable:
            self._broker.asked.append(timeout)
            if self._broker.open_ids:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return [TopicPartition(place.topic, place.partition, 7, self._broker.owner) for place in wanted]

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


def restored(tmp_path: Path, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for the committed offsets."""
    monkeypatch.setattr(module, "Consumer", broker.consumer)
    monkeypatch.setattr(fencing, "Consumer", broker.consumer)
    monkeypatch.setattr(fencing, "Producer", broker.producer)
    monkeypatch.setattr(fencing, "GroupMembers", lambda _: broker)
    restorer = Restorer({}, "g", "journal", RetentionGaps())
    found = restorer._committed([owned_assignment(tmp_path)])
    assert set(found.values()) == {7}


def test_an_open_transaction_of_a_dead_worker_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broker = FakeBroker("g.b", owner=str(OffsetOwner("b", "p/b/1")), members=["p/a/1"])
    restored(tmp_path, broker, monkeypatch)
    assert broker.opened == ["g.b"]
    assert len(broker.asked) == 3
    assert broker.asked[0] < 2
    assert "ended the transaction that worker b left open" in caplog.messages


@pytest.mark.parametrize(
    ("owner", "members"),
    [
        (str(OffsetOwner("b", "p/b/1")), ["p/a/1", "p/b/1"]),
        (str(OffsetOwner("b", "p/b/1")), ["p/a/1", "p/b/2"]),
        (str(OffsetOwner("b", "p/b/1")), None),
        (str(OffsetOwner("b", "p/b/1")), []),
        ("", ["p/a/1"]),
        ("of another program", ["p/a/1"]),
    ],
    ids=["a member still", "started again", "not known", "a group that is loading", "an older version", "another's"],
)
def test_nobody_else_is_fenced(
    owner: str, members: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = FakeBroker("g.b", owner=owner, members=members)

    def ends_by_itself(_group: str) -> frozenset[GroupMember] | None:
        broker.open_ids.clear()
        return broker.members

    monkeypatch.setattr(broker, "of", ends_by_itself)
    if OffsetOwner.parse(owner) is None:
        broker.open_ids.clear()
    restored(tmp_path, broker, monkeypatch)
    assert broker.opened == []


def test_nobody_is_fenced_where_nothing_holds_the_answer_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = FakeBroker(owner=str(OffsetOwner("b", "p/b/1")), members=["p/a/1"])
    restored(tmp_path, broker, monkeypatch)
    assert broker.opened == []


def test_nobody_is_fenced_where_only_the_coordinator_was_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of a broker moves coordinators: the first question fails, and nothing is pending."""
    broker = FakeBroker("g.b", owner=str(OffsetOwner("b", "p/b/1")), members=["p/a/1"])

    def is_back(_group: str) -> frozenset[GroupMember] | None:
        broker.open_ids.clear()
        return broker.members

    monkeypatch.setattr(broker, "of", is_back)
    restored(tmp_path, broker, monkeypatch)
    assert broker.opened == []


def test_a_broker_that_is_slow_to_end_it_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broker = FakeBroker("g.b", owner=str(OffsetOwner("b", "p/b/1")), members=["p/a/1"], silent=True)
    restored(tmp_path, broker, monkeypatch)
    assert broker.opened == ["g.b", "g.b"]
    assert any("is not ended yet" in line for line in caplog.messages)


@given(slot=NAMES, client_id=NAMES)
def test_an_owner_is_read_back_from_the_metadata(slot: str, client_id: str) -> None:
    assert OffsetOwner.parse(str(OffsetOwner(slot, client_id))) == OffsetOwner(slot, client_id)
