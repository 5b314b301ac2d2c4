"""A submission as the first entry of its run's journal, with the history that a fork begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from streams.engine.entry import SUBMITTED
from streams.engine.fork import forked_entries
from streams.engine.jsonable import digest
from streams.engine.view import RunView

if TYPE_CHECKING:
    from schemas.run import RunSubmitted
    from streams.engine.journal import Journal

_META: Final = (
    "parent",
    "parent_path",
    "parent_pool",
    "root",
    "root_agent",
    "priority",
    "not_before_ms",
    "caller",
    "forked_from",
    "schedule",
    "traceparent",
)


def record_submission(journal: Journal, event: RunSubmitted, deadline_s: float | None) -> None:
    """Append what was submitted; the run must end by the event's deadline and within its agent's `deadline_s`."""
    deadline = event.deadline_ms
    if deadline_s is not None:
        own = journal.now_ms + int(deadline_s * 1000)
        deadline = own if deadline is None else min(own, deadline)
    meta = _meta(event)
    if deadline is not None:
        meta["deadline_ms"] = deadline
    journal.append(
        SUBMITTED,
        "submitted",
        event.agent,
        status="submitted",
        digest=digest(event.agent, event.input),
        input=event.input,
        output=meta,
        due_ms=deadline,
    )
    for entry in forked_entries(event.history or [], journal):
        journal.adopt(entry)


def queued_view(event: RunSubmitted, at_ms: int) -> RunView:
    """Return the view of a run that was submitted at a time and has no journal yet."""
    view = RunView(event.run_id, event.agent)
    view.input, view.meta = event.input, _meta(event)
    view.created_ms = view.updated_ms = at_ms
    return view


def _meta(event: RunSubmitted) -> dict[str, Any]:
    return {name: value for name in _META if (value := getattr(event, name)) is not None}
