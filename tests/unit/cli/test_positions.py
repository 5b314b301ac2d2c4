"""Places in a topic are read as people write them."""

from __future__ import annotations

import pytest

from streams.cli.positions import PositionError, position
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


def test_nonsense_is_refused() -> None:
    with pytest.raises(PositionError, match="yesterday"):
        position("yesterday")
