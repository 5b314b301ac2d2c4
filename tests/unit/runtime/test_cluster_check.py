"""The start-up check waits for a coordinator that comes up: its refusals come at once, and are no verdict."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams import clock
from streams.runtime import cluster_check, cluster_queries
from streams.runtime.errors import RestoreError

PLACE = TopicPartition("topic", 0)


class Coordinator:
    """One that refuses until a moment, a tenth of a second each time."""

    def __init__(self, answers_at: float) -> None:
        self.now = 0.0
        self.answers_at = answers_at
        self.tries = 0

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.tries += 1

    def answer(self, client: object, group: str, place: object, timeout: float) -> int | None:
        self.now += 0.1
        return None if self.now < self.answers_at else 0


@pytest.mark.parametrize(("answers_at", "told"), [(0.0, True), (50.0, True), (65.0, False)])
def test_quick_refusals_do_not_use_up_its_patience(
    monkeypatch: pytest.MonkeyPatch, answers_at: float, told: bool
) -> None:
    coordinator = Coordinator(answers_at)
    monkeypatch.setattr(cluster_check, "_answer", coordinator.answer)
    monkeypatch.setattr(clock, "monotonic", coordinator.monotonic)
    monkeypatch.setattr(cluster_queries, "_wait", coordinator.wait)
    assert cluster_check._answers_offsets({}, "group", PLACE) is told
    assert coordinator.tries < 50, "it pauses longer and longer"


def test_a_question_is_asked_again_for_a_minute_with_pauses_and_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that refuses at once used up twelve tries in a second and was said to be silent for a minute."""
    caplog.set_level(logging.INFO)
    coordinator = Coordinator(0)
    monkeypatch.setattr(clock, "monotonic", coordinator.monotonic)
    monkeypatch.setattr(cluster_queries, "_wait", coordinator.wait)
    monkeypatch.setattr(cluster_queries, "AdminClient", lambda *_, **__: SimpleNamespace(poll=lambda _seconds: 0))

    def refused(_admin: object) -> None:
        raise KafkaException(KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, "loading"))

    with pytest.raises(RestoreError, match=r"did not answer for 60 s \(loading\)"):
        cluster_queries.answered({}, refused)
    assert coordinator.now >= 60
    assert 0 < len(caplog.messages) < 50
