"""Where a run and what it does are in a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.trace_context import TraceContext, derived, parsed

if TYPE_CHECKING:
    from streams.engine.view import RunView


def context_of(view: RunView) -> TraceContext:
    """Return the span of a run: in the trace that its submission came with, else in one of its own."""
    given = parsed(view.meta.get("traceparent"))
    trace = derived(view.meta.get("root") or view.run_id) if given is None else given
    return trace.within(view.run_id)


def entry_context(run: TraceContext, run_id: str, path: str) -> TraceContext:
    """Return the span of what a run does at a path of its journal."""
    return run.within(run_id, path)
