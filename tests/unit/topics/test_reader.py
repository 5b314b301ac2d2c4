"""A reader that has ended is gone at once, and does not wait for a collection that finds cycles."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from topics import reader
from topics.kafka import KafkaConfig
from topics.reader import read


class Client:
    """A consumer that keeps its settings, callbacks included, as the library's does."""

    made: ClassVar[list[weakref.ref[Client]]] = []

    def __init__(self, settings: dict[str, Any], **_: Any) -> None:
        self.settings = settings
        self.made.append(weakref.ref(self))

    def list_topics(self, topic: str, **_: Any) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions={0: None})})

    def get_watermark_offsets(self, _place: object, **_: Any) -> tuple[int, int]:
        return 0, 0

    def assign(self, _places: object) -> None:
        return

    def close(self) -> None:
        return


def test_a_reader_leaves_no_client_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "Consumer", Client)
    gc.disable()
    try:
        for _ in range(3):
            assert list(read(KafkaConfig("127.0.0.1:1"), "t")) == []
        assert [found() for found in Client.made] == [None, None, None]
    finally:
        gc.enable()
