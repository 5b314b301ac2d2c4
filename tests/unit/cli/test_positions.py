"""Places in a topic are read as people write them."""

from __future__ import annotations

import pytest

from streams.cli import positions
from streams.cli.positions import PositionArgumentError, moment, position
from topics.reader import Time

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("earliest", "earliest"),
        ("latest", "latest"),
        ("42", 42),
        ("2026-01-31T12:00:00Z", Time(1769860800000)),
        ("2026-01-31T13:00+01:00", Time(1769860800000)),
    ],
)
def test_place(text: str, place: object) -> None:
    assert position(text) == place


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("1h", 3600), ("2d", 172800), ("1w", 604800)])
def test_so_long_ago(text: str, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "now_ms", lambda: 1769860800000)
    assert position(text) == Time(1769860800000 - seconds * 1000)


@pytest.mark.parametrize("text", ["yesterday", "999999999w", "1 h", "-1h"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(PositionArgumentError, match=text):
        position(text)
    with pytest.raises(PositionArgumentError, match=text):
        moment(text)
