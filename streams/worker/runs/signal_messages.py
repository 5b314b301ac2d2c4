"""What an event on `signals` tells a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.errors import SchemaError
from schemas.signal import CancelRequested, ChildEnded, ForkRequested, ResumeRequested, SignalSent
from streams.engine.messages import CancelAsked, ChildDone, ForkAsked, ResumeAsked, SignalArrived

if TYPE_CHECKING:
    from streams.engine.messages import Message


def message_of(event: Any) -> Message:
    """Return what an event on `signals` tells a run; raises SchemaError for any other event."""
    match event:
        case SignalSent():
            return SignalArrived(event.signal_id, event.name, event.data)
        case CancelRequested():
            return CancelAsked(event.request_id, event.reason or "")
        case ResumeRequested():
            return ResumeAsked(event.request_id, event.ending)
        case ForkRequested():
            return ForkAsked(event.new_run_id, event.at, event.edits or {}, event.caller)
        case ChildEnded():
            return ChildDone(
                event.path, event.child_id, event.ending, event.status, event.result, event.error, event.usage
            )
    raise SchemaError("only signals, cancels, resumes, forks and endings of children belong on `signals`")
