"""What models say is kept for runs that somebody watches, and for the calls under way of some that nobody watches."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from streams import clock
from streams.worker.runs.token_buffer import STREAMED, WATCHED_S, TokenBuffer


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
    tokens = TokenBuffer()
    assert tokens.look("r", -1) == []
    with tokens.call("r", "1") as tell:
        assert tell is not None
        tell("Hel")
        tell("lo")
        first = tokens.look("r", -1)
        assert [(one["path"], one["text"]) for one in first] == [("1", "Hel"), ("1", "lo")]
        tell("!")
    assert texts(tokens.look("r", first[-1]["number"])) == ["!"]
    time.now = WATCHED_S + 1
    assert tokens.look("r", -1) == []


def test_who_comes_while_a_call_is_under_way_gets_all_of_it(time: Clock) -> None:
    tokens = TokenBuffer()
    with tokens.call("r", "1") as tell:
        assert tell is not None
        tell("before")
        assert texts(tokens.look("r", -1)) == ["before"]
        tell("after")
        assert texts(tokens.look("r", -1)) == ["before", "after"]
        time.now = WATCHED_S + 1  # the watcher has gone, and another one comes
        tokens.look("another", -1)
        tell("later")
        assert texts(tokens.look("r", -1)) == ["before", "after", "later"]


def test_nothing_is_kept_of_a_call_that_has_ended_unwatched(time: Clock) -> None:
    tokens = TokenBuffer()
    with tokens.call("r", "1") as tell:
        assert tell is not None
        tell("x")
    assert tokens.look("r", -1) == []
    with tokens.call("s", "1") as first, tokens.call("s", "2") as second:
        assert first is not None
        assert second is not None
        second("kept while the other goes on")
    assert tokens.look("s", -1) == []


def test_of_many_calls_that_nobody_watches_only_the_first_are_streamed(time: Clock) -> None:
    tokens = TokenBuffer()
    tokens.look("watched", -1)
    with ExitStack() as calls:
        for number in range(STREAMED):
            assert calls.enter_context(tokens.call(f"r{number}", "1")) is not None
        assert calls.enter_context(tokens.call("one more", "1")) is None
        assert calls.enter_context(tokens.call("watched", "1")) is not None
    with tokens.call("one more", "1") as tell:
        assert tell is not None
