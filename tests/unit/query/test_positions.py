"""Positions in the log as texts name them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.query.history import PositionError, position
from topics.reader import Time


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z"])
def test_a_time_before_the_epoch_is_the_epoch(text: str) -> None:
    """The broker refuses a negative time, which would look like a log that cannot be read."""
    assert position(text) == Time(0)


@given(st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat()) | st.text(max_size=40))
def test_each_text_is_a_position_or_a_position_error(text: str) -> None:
    try:
        found = position(text)
    except PositionError:
        return
    assert not isinstance(found, Time) or found.ms >= 0
