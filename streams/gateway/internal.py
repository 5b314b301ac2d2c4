"""Event types and sources that prove something: a key that may submit events must not forge them.

An alert pages people, a run's records are its state, and an event of GitHub or Slack stands for a signature that was
checked. The source of a worker's record exempts it from deduplication.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streams.gateway.access import FORBIDDEN
from streams.gateway.cloudevents import invalid

if TYPE_CHECKING:
    from streams.gateway.access import Caller

_SIGNED: Final = ("github", "slack")
"""First parts of types that come from verified deliveries only."""

_MADE_HERE: Final = frozenset(
    {
        "agent.commanded",
        "agent.switched",
        "alert.raised",
        "alert.resolved",
        "breaker.switched",
        "budget.changed",
        "budget.spent",
        "call.recorded",
        "child.ended",
        "consumers.declared",
        "dead.discarded",
        "dead.lettered",
        "dead.redrive_requested",
        "dead.redriven",
        "key.granted",
        "key.released",
        "key.wanted",
        "run.cancel_requested",
        "run.cancelled",
        "run.failed",
        "run.fork_requested",
        "run.history_given",
        "run.resume_requested",
        "run.started",
        "run.submitted",
        "run.succeeded",
        "schedule.commanded",
        "schedule.run_ended",
        "schedule.ticked",
        "signal.sent",
        "step.completed",
        "usage.counted",
        "webhook.received",
        "worker.heartbeat",
    }
)
"""Types that the pipeline itself writes."""

_SOURCES: Final = ("/streams", "/gateway", "/webhooks")
"""What the `ce_source` of our own writers begins with."""


def is_internal(event_type: str) -> bool:
    """Return whether an event of this type proves something that its sender cannot prove."""
    return event_type in _MADE_HERE or event_type.partition(".")[0] in _SIGNED


def check_type(event_type: str, sender: Caller, *, by_hand: bool = False) -> None:
    """Raise Problem 403 for a type that the sender's key may not publish, or that no sender of events may name.

    `by_hand` is whether the sender may name the latter all the same.
    """
    if not sender.may_publish(event_type):
        raise FORBIDDEN(
            f"This key publishes events of type {', '.join(sender.types or ()) or '(none)'} only, not "
            f"'{event_type[:200]}'; its types are in STREAMS_API_KEYS.",
        )
    if not by_hand and is_internal(event_type):
        raise FORBIDDEN(
            f"Events of type '{event_type[:200]}' are written by the pipeline or by a verified webhook; publishing one "
            "by hand needs a key with scope 'admin' and POST /events.",
            scope="admin",
        )


def check_source(source: str | None, at: str = "source") -> None:
    """Raise Problem 422 for a source that is one of our own writers'."""
    path = "" if source is None else source.partition("?")[0].partition("#")[0]
    if any(path == own or path.startswith(f"{own}/") for own in _SOURCES):
        raise invalid(at, f"sources below {', '.join(_SOURCES)} are reserved for the pipeline; name your own system")
