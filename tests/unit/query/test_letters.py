"""The state of a dead letter is what the log says last, however often it came back."""

from __future__ import annotations

from schemas.dead import DeadDiscarded, DeadLettered, DeadRedriven
from streams.query.letters import Fold, Letter
from topics.reader import RawRecord

Said = DeadLettered | DeadRedriven | DeadDiscarded


def lettered() -> DeadLettered:
    return DeadLettered(
        dead_id="d", source_topic="events", source_partition=0, source_offset=1, consumer="echo", error="x"
    )


def redriven(attempt: int, at_ms: int) -> DeadRedriven:
    return DeadRedriven(dead_id="d", attempt=attempt, at_ms=at_ms)


def folded(*log: tuple[int, Said]) -> Letter:
    """Fold what is on the log at these times, given in its order."""
    fold = Fold()
    for offset, (at_ms, event) in reversed(list(enumerate(log))):
        fold.take(RawRecord("dead-letters", 0, offset, at_ms, b"d", b"", []), event, f"e{offset}")
    return fold.letters["d"]


def state(*log: tuple[int, Said]) -> tuple[str, int, str | None]:
    found = folded(*log)
    return found.state, found.redrives, found.mark


def test_a_letter_is_open_until_something_is_done_about_it() -> None:
    assert state((1, lettered())) == ("open", 0, None)
    assert state((1, lettered()), (5, redriven(1, 5))) == ("redriven", 1, "e1")
    assert state((1, lettered()), (5, DeadDiscarded(dead_id="d", at_ms=5))) == ("discarded", 0, "e1")


def test_one_that_fails_again_is_open_again_and_its_redrives_count_on() -> None:
    assert state((1, lettered()), (5, redriven(1, 5)), (7, lettered())) == ("open", 1, None)
    log = ((1, lettered()), (5, redriven(1, 5)), (7, lettered()), (9, redriven(2, 9)))
    assert state(*log) == ("redriven", 2, "e3")


def test_one_that_failed_again_before_its_redrive_was_noted_is_open() -> None:
    assert state((1, lettered()), (6, lettered()), (7, redriven(1, 5))) == ("open", 1, None)


def test_orders_for_letters_that_are_gone_are_nothing() -> None:
    fold = Fold()
    fold.take(RawRecord("dead-letters", 0, 0, 1, b"d", b"", []), redriven(1, 1), "e")
    assert fold.letters == {}
