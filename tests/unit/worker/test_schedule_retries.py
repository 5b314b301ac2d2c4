"""When a slot's function is called again: after what its error asks for, else by the policy, else not at all."""

from __future__ import annotations

import pytest

from streams import Reject, Retry
from streams.worker.schedules.schedule_runner import POLICY, pause_after
from streams.worker.schedules.schedule_state import DueSlot


class BusyError(Exception):
    """What a client library raises: it knows when to come back."""

    def __init__(self, retry_after: object) -> None:
        super().__init__("busy")
        self.retry_after = retry_after


@pytest.mark.parametrize("error", [Retry(after=7.5), BusyError(7.5)])
def test_an_error_that_says_when_to_come_back_is_obeyed(error: Exception) -> None:
    assert pause_after(DueSlot("s-1", 1), error) == 7.5


@pytest.mark.parametrize("error", [Retry(), ValueError("no"), BusyError("soon"), BusyError(None)])
def test_else_the_policy_decides_the_same_way_at_every_owner(error: Exception) -> None:
    waits = [pause_after(DueSlot("s-1", 1, attempt=attempt), error) for attempt in range(1, POLICY.attempts + 1)]
    assert waits == [
        pause_after(DueSlot("s-1", 1, attempt=attempt), error) for attempt in range(1, POLICY.attempts + 1)
    ]
    assert waits[-1] is None
    assert all(wait is not None and 0 <= wait <= POLICY.cap for wait in waits[:-1])


@pytest.mark.parametrize("error", [Reject("never"), BusyError(1)])
def test_what_is_hopeless_or_was_tried_often_enough_is_given_up(error: Exception) -> None:
    assert pause_after(DueSlot("s-1", 1, attempt=1 if isinstance(error, Reject) else POLICY.attempts), error) is None
