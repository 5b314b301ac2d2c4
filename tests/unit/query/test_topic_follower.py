"""A follower of a topic begins anew whatever its read raises."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from streams.query import topic_follower as module
from streams.query.topic_follower import Follower
from topics.errors import TopicError
from topics.kafka import KafkaConfig


@pytest.mark.parametrize("error", [TopicError("gone"), ValueError("unforeseen")])
def test_a_follower_begins_anew_after_an_error(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN", 0.0)
    found, done = [], threading.Event()
    reads = iter([error, None])

    def read(*_: Any, **__: Any) -> Iterator[int]:
        failure = next(reads, None)
        if failure is not None:
            raise failure
        yield 7

    def take(value: int) -> None:
        found.append(value)
        done.set()

    follower = Follower(KafkaConfig("nowhere:1"), "t", take, read=read)
    follower.begin()
    assert done.wait(10)
    follower.end()
    assert found[0] == 7
