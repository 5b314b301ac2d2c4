"""How long a reaction's failed event waits, and when it is given up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from streams import Reject, Retry, RetryPolicy
from streams.errors import StreamsError
from streams.tools.errors import FetchBusyError, FetchError, FetchRefusedError
from streams.worker.reactions.lanes import _wait

if TYPE_CHECKING:
    from streams.worker.reactions.event_item import ReactionItem


class BusyError(Exception):
    """An error as client libraries raise it."""

    retry_after = 7


def waits(error: Exception, attempt: int = 1, policy: RetryPolicy | None = None) -> float | None:
    reaction = SimpleNamespace(name="r", retry=policy or RetryPolicy(attempts=3, first=8.0, jitter=False))
    return _wait(cast("ReactionItem", SimpleNamespace(reaction=reaction, attempt=attempt, event_id="e")), error)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (ValueError("any"), 8.0),
        (Retry(), 8.0),
        (Retry(after=3), 3.0),
        (BusyError(), 7.0),
        (FetchBusyError("busy", after=5), 5.0),
        (FetchError("no answer"), 8.0),
        (Reject("never"), None),
        (FetchRefusedError("private"), None),
        (StreamsError("ours"), None),
    ],
    ids=str,
)
def test_what_an_error_asks_for(error: Exception, seconds: float | None) -> None:
    assert waits(error) == seconds


@pytest.mark.parametrize("error", [ValueError("x"), Retry(after=1), BusyError(), FetchError("x")], ids=str)
def test_the_last_attempt_is_the_last(error: Exception) -> None:
    assert waits(error, attempt=3) is None


def test_the_policy_says_which_errors_are_worth_it_and_retry_always_is() -> None:
    policy = RetryPolicy(on=(KeyError,), first=8.0, jitter=False)
    assert waits(ValueError("x"), policy=policy) is None
    assert waits(KeyError("x"), policy=policy) == 8.0
    assert waits(Retry(), policy=policy) == 8.0


def test_full_jitter_is_between_nothing_and_the_backoff() -> None:
    drawn = [waits(ValueError("x"), attempt=2, policy=RetryPolicy(first=8.0)) for _ in range(3)]
    assert len(set(drawn)) == 1, "an event's wait is drawn from its id, so that a restart finds the same"
    assert all(0 <= (wait or 0) <= 16 for wait in drawn)
