"""Which events of a lane are handed over together, and when: those of a reaction with `batch`, else each by itself."""

from __future__ import annotations

from itertools import islice, takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import deque

    from streams.worker.reactions.event_item import ReactionItem


def handed_over(items: deque[ReactionItem], wait_ms: int) -> bool:
    """Return whether the first item's turn has come: its time is over or, if it collects, enough came.

    What is collected is handed over from its rows alone, so that one unit ends them all with what came of them. After
    a failure only the time of the next attempt counts.
    """
    first = items[0]
    size = first.reaction.batch
    if size is None:
        return wait_ms <= 0
    if not first.stored:
        return False
    return wait_ms <= 0 or (first.attempt == 1 and len(items) >= size and items[size - 1].stored)


def others(items: deque[ReactionItem]) -> list[ReactionItem]:
    """Return what is handed over together with the first item, in log order."""
    size = items[0].reaction.batch
    return [] if size is None else list(takewhile(lambda item: item.stored, islice(items, 1, size)))
