"""What records on `agents.<name>` and `signals` say to a run, as the machine's messages."""

from __future__ import annotations

from schemas import Event
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


def message_of(event: Event) -> Message:
    """Return the message for a run; raise TypeError for an event that is none of a run's business."""
    if isinstance(event, RunSubmitted):
        return Submit(event)
    if isinstance(event, SignalSent):
        return SignalArrived(event.signal_id, event.name, event.data)
    if isinstance(event, ChildEnded):
        return ChildDone(event.path, event.child_id, event.ending, event.status, event.result, event.error, event.usage)
    if isinstance(event, CancelRequested):
        return CancelAsked(event.request_id, event.reason or "")
    if isinstance(event, ResumeRequested):
        return ResumeAsked(event.request_id, event.ending)
    if isinstance(event, ForkRequested):
        return ForkAsked(event.new_run_id, event.at, dict(event.edits or {}), event.caller)
    raise TypeError(f"{event.event_type} is not addressed to a run: route it elsewhere")
