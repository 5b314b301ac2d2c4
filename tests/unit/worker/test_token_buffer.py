"""What models say is kept for runs that somebody watches, and for the calls under way of some that nobody watches."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from streams import clock
from streams.worker.runs.token_buffer import STREAMED, WATCHED_S, Spoken


class Clock:
    now = 0.0


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(clock, "monotonic", lambda: made.now)
    return made


def texts(pieces: list[dict[str, Any]]) -> list[str]:
    return [one["text"] for one in pieces]


def test_pieces_come_once_and_in_order(time: Clock) -> None:
    spoken = Spoken()
    assert spoken.look("r", -1) == []
    with spoken.call("r", "1") as tell:
        assert tell is not None
        tell("Hel")
        tell("lo")
        first = spoken.look("r", -1)
        assert [(one["path"], one["text"]) for one in first] == [("1", "Hel"), ("1", "lo")]
        tell("!")
    assert texts(spoken.look("r", first[-1]["number"])) == ["!"]
    time.now = WATCHED_S + 1
    assert spoken.look("r", -1) == []


def test_who_comes_while_a_call_is_under_way_gets_all_of_it(time: Clock) -> None:
    spoken = Spoken()
    with spoken.call("r", "1") as tell:
        assert tell is not None
        tell("before")
        assert texts(spoken.look("r", -1)) == ["before"]
        tell("after")
        assert texts(spoken.look("r", -1)) == ["before", "after"]
        time.now = WATCHED_S + 1  # the watcher has gone, and another one comes
        spoken.look("another", -1)
        tell("later")
        assert texts(spoken.look("r", -1)) == ["before", "after", "later"]


def test_nothing_is_kept_of_a_call_that_has_ended_unwatched(time: Clock) -> None:
    spoken = Spoken()
    with spoken.call("r", "1") as tell:
        assert tell is not None
        tell("x")
    assert spoken.look("r", -1) == []
    with spoken.call("s", "1") as first, spoken.call("s", "2") as second:
        assert first is not None
        assert second is not None
        second("kept while the other goes on")
    assert spoken.look("s", -1) == []


def test_of_many_calls_that_nobody_watches_only_the_first_are_streamed(time: Clock) -> None:
    spoken = Spoken()
    spoken.look("watched", -1)
    with ExitStack() as calls:
        for number in range(STREAMED):
            assert calls.enter_context(spoken.call(f"r{number}", "1")) is not None
        assert calls.enter_context(spoken.call("one more", "1")) is None
        assert calls.enter_context(spoken.call("watched", "1")) is not None
    with spoken.call("one more", "1") as tell:
        assert tell is not None
