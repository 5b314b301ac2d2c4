"""Spans of runs, made of the entries of committed decisions; names and attributes as OpenTelemetry has them for GenAI.

A run is one span; steps, tool calls, model calls and calls of other agents are its children. A called run is a child of
the entry that calls it. Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from schemas.call import CallRecorded
from schemas.trace_context import TraceContext, parsed, span_id
from streams.engine.entry import END
from streams.engine.view import EFFECTS
from streams.tracing import Attribute, Span
from streams.worker.runs.run_trace import context_of, entry_context

if TYPE_CHECKING:
    from streams.engine.decision import Decision
    from streams.engine.entry import Entry
    from streams.worker.runs.active_run import ActiveRun

_SETTLED: Final = frozenset({"completed", "failed", "timed_out"})


class RunSpans:
    """Exports the spans of one worker's runs."""

    def __init__(self, export: Callable[[Span], None] | None) -> None:
        """Export by `export`; None exports nothing."""
        self._export = export

    def decided(self, live: ActiveRun, decision: Decision) -> None:
        """Export what a decision ends, once its last unit (`live.last`) is committed."""
        if self._export is None or live.last is None:
            return
        entries = [entry for entry in decision.entries if _ends(entry)]
        calls = [output.event for output in decision.outputs if isinstance(output.event, CallRecorded)]
        if entries or calls:
            view = live.machine.journal.view
            parent = parsed(view.meta.get("traceparent"))
            export = partial(self._committed, context_of(view), parent, view.created_ms, entries, calls)
            live.last.on_commit.append(export)

    def _committed(
        self,
        run: TraceContext,
        parent: TraceContext | None,
        created_ms: int,
        entries: Sequence[Entry],
        calls: Sequence[CallRecorded],
    ) -> None:
        if self._export is None:
            return
        for entry in entries:
            if entry.path.startswith(END):
                self._export(_run_span(run, parent, created_ms, entry))
            else:
                self._export(_effect_span(run, entry))
        for call in calls:
            if call.kind == "llm":
                self._export(_call_span(run, call))


def _ends(entry: Entry) -> bool:
    if entry.path[0] == "~":
        return entry.path.startswith(END)
    return entry.status in _SETTLED and (entry.kind in EFFECTS or entry.kind == "call")


def _run_span(run: TraceContext, parent: TraceContext | None, created_ms: int, end: Entry) -> Span:
    """Return the span of a run's ending; a later one, of a run that was resumed, is a span below the first."""
    first = end.path == f"{END}1"
    attributes: dict[str, Attribute] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": end.agent,
        "streams.run.id": end.run_id,
        "streams.run.outcome": end.name,
    }
    return Span(
        f"invoke_agent {end.agent}",
        run if first else entry_context(run, end.run_id, end.path),
        (None if parent is None else parent.span_id) if first else run.span_id,
        created_ms,
        end.recorded_ms,
        "consumer",
        attributes,
        _error_of(end) if end.name == "failed" else None,
    )


def _effect_span(run: TraceContext, entry: Entry) -> Span:
    attributes: dict[str, Attribute] = {"streams.run.id": entry.run_id, "streams.path": entry.path}
    attributes["streams.attempt"] = entry.attempt
    name = f"{entry.kind} {entry.name}"
    if entry.kind == "tool":
        name = f"execute_tool {entry.name}"
        attributes |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": entry.name}
    if entry.stage:
        attributes["streams.stage"] = entry.stage
    if (entry.usage or {}).get("recorded"):
        attributes["streams.recorded"] = True
    return Span(
        name,
        entry_context(run, entry.run_id, entry.path),
        run.span_id,
        entry.started_ms or entry.recorded_ms,
        entry.finished_ms or entry.recorded_ms,
        "internal",
        attributes,
        None if entry.status == "completed" else _error_of(entry),
    )


def _call_span(run: TraceContext, call: CallRecorded) -> Span:
    """Return the span of one request to a model, below the entry that asked."""
    usage = call.usage or {}
    attributes: dict[str, Attribute] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": call.name,
        "streams.run.id": call.run_id or "",
    }
    for name, attribute in (
        ("input_tokens", "gen_ai.usage.input_tokens"),
        ("output_tokens", "gen_ai.usage.output_tokens"),
        ("cost_usd", "streams.cost_usd"),
    ):
        if usage.get(name) is not None:
            attributes[attribute] = usage[name]
    run_id = call.run_id or ""
    return Span(
        f"chat {call.name}",
        run.within(run_id, call.path, str(call.attempt), call.hash),
        span_id(run_id, call.path),
        call.started_ms,
        call.finished_ms,
        "client",
        attributes,
        None if call.error is None else str((call.error or {}).get("message", "failed")),
    )


def _error_of(entry: Entry) -> str:
    error = entry.error or {}
    return f"{error.get('type', 'Error')}: {error.get('message', entry.status)}"[:500]
