"""Events for a run that exists: signals, requests to cancel, resume or fork it, and its children's endings."""

from schemas.event import Event
from schemas.values import Json


class SignalSent(Event, type="signal.sent", key="run_id"):
    """Something that a run may wait for has happened; ``name`` is the awaited event's type."""

    run_id: str
    signal_id: str
    name: str
    data: Json = None


class CancelRequested(Event, type="run.cancel_requested", key="run_id"):
    """Somebody wants the run to end as cancelled."""

    run_id: str
    request_id: str
    reason: str | None = None


class ResumeRequested(Event, type="run.resume_requested", key="run_id"):
    """Somebody wants a failed run to go on; ``ending`` is the ending they saw, so that a repeat is harmless."""

    run_id: str
    request_id: str
    ending: int | None = None


class ChildEnded(Event, type="child.ended", key="run_id"):
    """A child of the run ``run_id``, called at ``path`` of its journal, has ended."""

    run_id: str
    path: str
    child_id: str
    ending: int
    status: str
    result: Json = None
    error: Json = None
    usage: Json = None


class ForkRequested(Event, type="run.fork_requested", key="run_id"):
    """Somebody wants a new run that shares the journal of ``run_id`` up to ``at``, with answers edited.

    ``caller`` is who asked, as in ``run.submitted``: who starts a run.
    """

    run_id: str
    new_run_id: str
    at: str
    edits: Json = None
    caller: str | None = None
