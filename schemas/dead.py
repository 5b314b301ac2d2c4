"""A record or run that was given up, kept whole with the cause, so that it can be put right and sent again."""

import hashlib

from pydantic import Field

from schemas.event import Event


class DeadLettered(Event, type="dead.lettered", key="dead_id"):
    """Something could not be handled.

    ``key``, ``value`` and ``headers`` are the record's bytes as they were read. ``consumer`` is the agent, reaction
    or table that gave up after ``attempts``. ``fingerprint`` groups dead letters with the same cause. ``first_ms`` is
    when it failed first, in milliseconds since the epoch.
    """

    dead_id: str
    source_topic: str
    source_partition: int
    source_offset: int
    key: bytes | None = None
    value: bytes | None = None
    headers: dict[str, bytes] = Field(default_factory=dict)
    consumer: str
    error: str
    error_type: str = ""
    traceback: str = ""
    attempts: int = 1
    fingerprint: str = ""
    run_id: str | None = None
    first_ms: int = 0


def fingerprint_of(failure: str) -> str:
    """Return the fingerprint of the dead letters with the same cause; `failure` names it."""
    return hashlib.sha256(failure.encode()).hexdigest()[:16]


class RedriveRequested(Event, type="dead.redrive_requested"):
    """Somebody wants a dead letter handled again by the consumer that gave it up; on `signals`, under the record's key.

    ``value`` is the record's, edited or as it was. ``attempt`` counts the redrives of one dead letter, so that
    repeating the same request does nothing.
    """

    dead_id: str
    attempt: int
    consumer: str
    source_topic: str
    source_partition: int
    source_offset: int
    key: bytes | None = None
    value: bytes | None = None
    headers: dict[str, bytes] = Field(default_factory=dict)
    run_id: str | None = None


class DeadRedriven(Event, type="dead.redriven", key="dead_id"):
    """A dead letter was handed to its consumer again; ``edited`` is whether its value was changed."""

    dead_id: str
    attempt: int
    edited: bool = False
    at_ms: int = 0


class DeadDiscarded(Event, type="dead.discarded", key="dead_id"):
    """A dead letter was looked at and let go."""

    dead_id: str
    reason: str = ""
    at_ms: int = 0
