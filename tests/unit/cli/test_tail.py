"""The newest events of a topic, without reading all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest

from schemas.attributes import Attributes
from streams.cli import tail
from streams.cli.tail import LAST, NEAR, Wish, newest
from topics.names import Names
from topics.reader import Position, RawRecord

END = 5_000


class FakeTopic:
    """Two partitions; every record of the second is a second younger than that of the first with its offset."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, end: int = END) -> None:
        self.end = end
        self.read_from: list[Position] = []
        monkeypatch.setattr(tail, "read", self.read)
        monkeypatch.setattr(tail, "offsets", lambda *_: {0: end, 1: end})

    def read(self, _: Any, topic: str, *, start: Position, end: Mapping[int, int], key: str | None) -> Iterator[Any]:
        self.read_from.append(start)
        for partition in (0, 1):
            for offset in range(start[partition] if isinstance(start, Mapping) else 0, end[partition]):
                kind = "rare" if offset == 1 else "common"
                headers = Attributes("x", kind, "/tests", 1).to_headers()
                at_ms = offset * 2_000 + partition * 1_000
                yield RawRecord(topic, partition, offset, at_ms, b"k", None, cast("Any", headers))

    def ask(self, **wish: Any) -> list[tuple[int, int]]:
        given = Wish(**{"start": None, "end": None, "key": None, "type": None, "limit": None, "follow": False, **wish})
        log: Any = type("Log", (), {"names": Names(), "kafka": None, "codec": None})()
        return [(event["partition"], event["offset"]) for event in newest(log, "events", given)]


def test_the_newest_of_all_partitions_come_oldest_first_and_only_the_end_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topic = FakeTopic(monkeypatch)
    assert topic.ask(limit=3) == [(1, END - 2), (0, END - 1), (1, END - 1)]
    assert len(topic.ask()) == LAST
    assert topic.read_from == [{0: END - 3 * NEAR, 1: END - 3 * NEAR}, {0: END - LAST * NEAR, 1: END - LAST * NEAR}]


def test_what_the_end_has_too_few_of_is_looked_for_in_the_whole_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = FakeTopic(monkeypatch)
    assert topic.ask(type="rare") == [(0, 1), (1, 1)]
    assert topic.read_from[1:] == ["earliest"]


def test_a_short_topic_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = FakeTopic(monkeypatch, end=2)
    assert topic.ask() == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert topic.read_from == ["earliest"]
