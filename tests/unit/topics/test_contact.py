"""A client that has lost its cluster for good, told from a cluster that is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given
from hypothesis import strategies as st

from topics import contact as module
from topics.contact import Contact


class FakeKafkaClient:
    """Answers from a script, True for an answer; the last one for ever."""

    def __init__(self, answers: Sequence[bool], brokers: int = 1) -> None:
        self._answers = list(answers)
        self.brokers = dict.fromkeys(range(brokers))

    def list_topics(self, topic: str, timeout: float) -> object:
        assert topic == "t"
        assert timeout > 0
        answered = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if not answered:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return self


def looks(
    monkeypatch: pytest.MonkeyPatch, own: Sequence[bool], others: Sequence[bool], count: int, brokers: int = 1
) -> list[bool]:
    other, client = FakeKafkaClient(others, brokers), FakeKafkaClient(own)
    monkeypatch.setattr(module, "AdminClient", lambda *_, **__: other)
    contact = Contact({})
    return [contact.lost(client, "t") for _ in range(count)]


def test_a_client_is_lost_that_is_not_answered_four_times_while_a_new_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looks(monkeypatch, [False], [True], 5) == [False, False, False, True, True]


def test_a_cluster_that_is_away_loses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(looks(monkeypatch, [False], [False], 20))


def test_with_several_brokers_more_looks_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that tries the one that is down first was taken for lost within seconds of the loss of a broker."""
    assert looks(monkeypatch, [False], [True], 16, brokers=3) == [False] * 15 + [True]


def test_a_client_that_is_slow_to_connect_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(looks(monkeypatch, [False, False, False, True], [True], 20))


@given(own=st.lists(st.booleans(), min_size=1, max_size=12), others=st.lists(st.booleans(), min_size=1, max_size=12))
def test_a_client_is_lost_only_after_four_looks_in_a_row_that_tell_against_it(
    own: list[bool], others: list[bool]
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        found = looks(monkeypatch, own, others, 12)
    left, other, row = list(own), list(others), 0
    for lost in found:
        answered = left.pop(0) if len(left) > 1 else left[0]
        row = 0 if answered or not (other.pop(0) if len(other) > 1 else other[0]) else row + 1
        assert lost == (row >= 4)


def test_only_the_loss_of_all_brokers_makes_a_client_suspect_and_an_answer_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "AdminClient", lambda *_, **__: FakeKafkaClient([True]))
    contact = Contact({})
    errors: list[Any] = [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN]
    seen = []
    for code in errors:
        contact.noted(KafkaError(code))
        seen.append(contact.suspect)
    assert seen == [False, True]
    assert not contact.lost(FakeKafkaClient([False]), "t")
    assert contact.suspect
    assert not contact.lost(FakeKafkaClient([True]), "t")
    assert not contact.suspect
