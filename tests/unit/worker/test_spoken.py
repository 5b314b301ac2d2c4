"""What models say is kept only for runs that somebody watches, and only while they do."""

from __future__ import annotations

import pytest

from streams import clock
from streams.worker.runs.spoken import WATCHED_S, Spoken


def test_pieces_come_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    spoken = Spoken()
    assert spoken.listener("r", "1") is None, "nobody watches"
    assert spoken.look("r", -1) == []
    tell = spoken.listener("r", "1")
    assert tell is not None
    tell("Hel")
    tell("lo")
    first = spoken.look("r", -1)
    assert [(one["path"], one["text"]) for one in first] == [("1", "Hel"), ("1", "lo")]
    tell("!")
    assert [one["text"] for one in spoken.look("r", first[-1]["number"])] == ["!"]
    now = WATCHED_S + 1
    assert spoken.listener("r", "2") is None
    assert spoken.look("r", -1) == []
