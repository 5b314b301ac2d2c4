"""The start-up check waits for a coordinator that comes up: its refusals come at once, and are no verdict."""

from __future__ import annotations

import pytest
from confluent_kafka import TopicPartition

from streams import clock
from streams.worker.log import probe

PLACE = TopicPartition("topic", 0)


class Coordinator:
    """One that refuses until a moment, a tenth of a second each time."""

    def __init__(self, answers_at: float) -> None:
        self.now = 0.0
        self.answers_at = answers_at

    def monotonic(self) -> float:
        return self.now

    def answer(self, client: object, group: str, place: object, timeout: float) -> int | None:
        self.now += 0.1
        return None if self.now < self.answers_at else 0


@pytest.mark.parametrize(("answers_at", "told"), [(0.0, True), (50.0, True), (61.0, False)])
def test_quick_refusals_do_not_use_up_its_patience(
    monkeypatch: pytest.MonkeyPatch, answers_at: float, told: bool
) -> None:
    coordinator = Coordinator(answers_at)
    monkeypatch.setattr(probe, "_answer", coordinator.answer)
    monkeypatch.setattr(clock, "monotonic", coordinator.monotonic)
    assert probe._told({}, "group", PLACE) is told
