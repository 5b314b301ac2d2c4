"""What records on `agents.<name>` and `signals` say to a run, as the machine's messages."""

from __future__ import annotations

from schemas import Event
from schemas.errors import SchemaError
from schemas.run import RunSubmitted
from schemas.signal import CancelRequested, ChildEnded, ForkRequested, ResumeRequested, SignalSent
from streams.engine.messages import (
    CancelAsked,
    ChildDone,
    ForkAsked,
    Message,
    ResumeAsked,
    SignalArrived,
    Submit,
)


def message_of(event: Event | None) -> Message:
    """Return the message for a run; raises SchemaError for an event that is none of a run's business."""
    return Submit(event) if isinstance(event, RunSubmitted) else signal_message(event)


def signal_message(event: Event | None) -> Message:
    """Return what an event on `signals` says to a run; raises SchemaError for any other event."""
    match event:
        case SignalSent():
            return SignalArrived(event.signal_id, event.name, event.data)
        case ChildEnded():
            return ChildDone(
                event.path, event.child_id, event.ending, event.status, event.result, event.error, event.usage
            )
        case CancelRequested():
            return CancelAsked(event.request_id, event.reason or "")
        case ResumeRequested():
            return ResumeAsked(event.request_id, event.ending)
        case ForkRequested():
            return ForkAsked(event.new_run_id, event.at, dict(event.edits or {}), event.caller)
    raise SchemaError("only signals, cancels, resumes, forks and endings of children belong on `signals`")
