"""When the events of a lane are handed over, and which together."""

from __future__ import annotations

from collections import deque
from typing import Any

from streams.define.reactions import Reaction
from streams.worker.reactions.event_item import ReactionItem
from streams.worker.reactions.lane_batches import handed_over, others


def lane(size: int | None, *stored: bool, attempt: int = 1) -> deque[ReactionItem]:
    reaction = Reaction("react", print, (), batch=size, within=None if size is None else 5.0)
    nothing: Any = None
    items = deque(ReactionItem(reaction, nothing, "a", f"e{n}", nothing, nothing) for n in range(len(stored)))
    for item, kept in zip(items, stored, strict=True):
        item.stored = kept
    items[0].attempt = attempt
    return items


def test_a_plain_event_goes_by_itself_when_its_time_has_come() -> None:
    assert handed_over(lane(None, False, False), 0)
    assert not handed_over(lane(None, False), 1)
    assert others(lane(None, True, True)) == []


def test_collected_events_go_when_they_are_enough_or_their_time_is_over() -> None:
    assert not handed_over(lane(3, True, True), 1)
    assert handed_over(lane(3, True, True), 0)
    assert handed_over(lane(3, True, True, True, True), 1)
    items = lane(3, True, True, True, True)
    assert others(items) == [items[1], items[2]]


def test_what_has_no_row_yet_is_not_handed_over() -> None:
    assert not handed_over(lane(2, False, False), 0)
    assert not handed_over(lane(2, True, False), 1)
    assert others(lane(3, True, False, True)) == []


def test_after_a_failure_only_the_time_of_the_next_attempt_counts() -> None:
    assert not handed_over(lane(2, True, True, attempt=2), 1)
    assert handed_over(lane(2, True, True, attempt=2), 0)
