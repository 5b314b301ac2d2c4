"""`streams run --not-before`: a time or seconds, as the gateway takes them."""

from __future__ import annotations

from datetime import datetime

import pytest
import typer

from streams.cli.commands.run import moment


def test_seconds_stay_seconds_and_nothing_stays_nothing() -> None:
    assert (moment("90"), moment("0.5"), moment(None)) == (90.0, 0.5, None)


def test_a_time_keeps_its_moment_and_gets_an_offset() -> None:
    assert datetime.fromisoformat(str(moment("2026-01-31T12:00:00Z"))).timestamp() == 1_769_860_800
    assert datetime.fromisoformat(str(moment("2026-01-31T12:00:00"))).tzinfo is not None


@pytest.mark.parametrize("text", ["tomorrow", "-5", "inf", "nan", ""])
def test_anything_else_is_wrong_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="neither a time nor"):
        moment(text)
