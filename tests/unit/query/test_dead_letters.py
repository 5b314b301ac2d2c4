"""The state of a dead letter is what the log says last, however often it came back."""

from __future__ import annotations

from schemas.dead import DeadDiscarded, DeadLettered, DeadRedriven
from streams.query.dead_letters import DeadLetter, DeadLetterFold, DeadLetterMention

Event = DeadLettered | DeadRedriven | DeadDiscarded


def lettered() -> DeadLettered:
    return DeadLettered(
        dead_id="d", source_topic="events", source_partition=0, source_offset=1, consumer="echo", error="x"
    )


def redriven(attempt: int, at_ms: int) -> DeadRedriven:
    return DeadRedriven(dead_id="d", attempt=attempt, at_ms=at_ms)


def folded(*log: tuple[int, Event]) -> DeadLetter:
    """Fold what is on the log at these times, given in its order."""
    fold = DeadLetterFold(lambda _: True)
    for offset, (at_ms, event) in reversed(list(enumerate(log))):
        fold.take(DeadLetterMention("dead-letters", 0, offset, at_ms, event, f"e{offset}"))
    return fold.letters["d"]


def state(*log: tuple[int, Event]) -> tuple[str, int, str | None]:
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
    fold = DeadLetterFold(lambda _: True)
    fold.take(DeadLetterMention("dead-letters", 0, 0, 1, redriven(1, 1), "e"))
    fold.take(DeadLetterMention("dead-letters", 0, 0, 1, None, ""))
    assert fold.letters == {}


def test_what_is_not_wanted_is_not_kept_and_its_older_letterings_are_not_met_again() -> None:
    fold = DeadLetterFold(lambda letter: letter.state == "open")
    fold.take(DeadLetterMention("dead-letters", 0, 3, 9, redriven(1, 9), "e3"))
    fold.take(DeadLetterMention("dead-letters", 0, 2, 5, lettered(), "e2"))
    fold.take(DeadLetterMention("dead-letters", 0, 1, 1, lettered(), "e1"))
    assert fold.letters == {}
