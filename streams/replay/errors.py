"""What can be wrong with a replay, as opposed to what a replay finds out."""

from __future__ import annotations

from streams.define.policies import Reject
from streams.errors import StreamsError


class ReplayError(StreamsError):
    """Raised for a replay that cannot begin: a topic that nobody handles, an agent that nobody knows."""


class AbsentError(ReplayError):
    """Raised for a row that there was not, at a point of the past that is known."""


class CallNotRecordedError(StreamsError):
    """Raised for a call whose answer is not on the log, where the outside must not be asked."""


class OutsideError(Reject):
    """Raised where code reaches for the outside while it must not: in a replay that answers from recordings."""


class RetentionError(StreamsError):
    """Raised where a state of the past was made of records that retention has deleted."""
