"""The state of a run: a pure fold of its entries, so that it can be asked without running it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from schemas.run import ENDED, GONE
from streams.clock import iso
from streams.engine.entry import APPROVAL, DEADLINE, END, EXPIRED, INBOX, PARKED, RESUME, STARTED, SUBMITTED, Entry

EFFECTS: Final = frozenset({"step", "tool", "llm"})
WAITS: Final = frozenset({"sleep", "wait", "call"})
WAITED_FOR: Final = ("approval", "signal", "sleep", "child")


class RunView:
    """The state of one run; `apply` takes its entries in log order. Times are milliseconds since the epoch."""

    event_type: ClassVar[str] = "run.changed"  # tables of runs fold views, as others fold events
    of_runs: ClassVar[bool] = True

    __slots__ = (
        "agent",
        "calls",
        "children",
        "created_ms",
        "ended",
        "error",
        "failed_path",
        "forked_from",
        "forks",
        "input",
        "key",
        "meta",
        "open",
        "parked",
        "progress",
        "progress_text",
        "reason",
        "result",
        "resumes",
        "retrying",
        "run_id",
        "stage",
        "status",
        "step",
        "updated_ms",
        "usage",
        "version",
    )

    def __init__(self, run_id: str, agent: str = "") -> None:
        self.run_id = run_id
        self.agent = agent
        self.status = "queued"
        self.stage: str | None = None
        self.progress = 0
        self.progress_text: str | None = None
        self.step: tuple[str | None, int] = (None, 1)
        self.input: Any = None
        self.error: Any = None
        self.result: Any = None
        self.reason: str | None = None
        self.failed_path: str | None = None
        self.key: str | None = None  # the concurrency key, where somebody who knows the agent has set it
        self.meta: dict[str, Any] = {}
        self.usage: dict[str, Any] = {}
        self.calls = [0, 0]  # llm, tool
        self.children: dict[str, None] = {}
        self.forks: list[str] = []
        self.open: dict[str, str] = {}  # what is waited for at each path
        self.retrying: dict[str, Entry] = {}
        self.parked: dict[str, Entry] = {}
        self.ended = 0
        self.resumes = 0
        self.version = 1
        self.created_ms = 0
        self.updated_ms = 0

    def apply(self, entry: Entry) -> None:
        """Take one more entry."""
        self.updated_ms = max(self.updated_ms, entry.recorded_ms)
        self.version = max(self.version, entry.version)
        path = entry.path
        if path[0] == "~":
            self._apply_own(entry)
            return
        if entry.kind == "progress":
            self.progress = self.progress if entry.progress is None else entry.progress
            self.progress_text = entry.name or None
        if entry.kind == "stage":
            self._apply_stage(entry)
        elif entry.kind in EFFECTS:
            self._apply_effect(entry)
        elif entry.kind in WAITS:
            self._apply_wait(entry)
        elif entry.kind == "start" and entry.output:
            self.children[entry.output] = None
        elif entry.kind == "late":
            self._count(entry)

    def _apply_own(self, entry: Entry) -> None:
        path = entry.path
        if path == SUBMITTED:
            self.agent = entry.agent
            self.input = entry.input
            self.meta = entry.output or {}
            self.created_ms = entry.recorded_ms
        elif path == STARTED:
            self.status = "running"
        elif path.startswith(END):
            self._apply_end(entry)
        elif path.startswith(RESUME):
            self.status, self.error, self.failed_path = "running", None, None
            self.resumes += 1
        elif path.startswith("~fork/") and entry.status == "completed":
            self.forks.append(entry.name)
        elif path == EXPIRED:
            self.reason = "its history was deleted after STREAMS_HISTORY_DAYS"
        elif path == DEADLINE or (path.startswith(INBOX) and entry.kind == "cancel"):
            self.reason = entry.name

    def _apply_end(self, entry: Entry) -> None:
        self.status = entry.name
        self.ended += 1
        self.error = entry.error
        self.result = entry.output
        self.failed_path = (entry.error or {}).get("path") if entry.name == "failed" else None
        self.stage = entry.stage or self.stage
        if entry.name == "succeeded":
            self.progress = 100

    def _apply_stage(self, entry: Entry) -> None:
        if entry.status == "scheduled":
            self.stage = entry.name

    def _apply_effect(self, entry: Entry) -> None:
        again = entry.status == "scheduled"
        self.step = (entry.name, entry.attempt + again)
        before = self.retrying.pop(entry.path, None) or self._unparked(entry.path)
        if again and (entry.error or {}).get("type") == PARKED:
            self.parked[entry.path] = entry
            self.reason = entry.error["message"]
        elif again:
            self.retrying[entry.path] = entry
        if entry.status != "cancelled":
            self._count(entry, before)
        self._wait_or_run()

    def _unparked(self, path: str) -> Entry | None:
        before = self.parked.pop(path, None)
        if before is not None:
            self.reason = None
        return before

    def _count(self, entry: Entry, before: Entry | None = None) -> None:
        """Count what an entry adds: usage and attempts in it are totals of its path, for a log that forgets."""
        if entry.kind in ("llm", "tool"):
            self.calls[entry.kind == "tool"] += entry.attempt - (0 if before is None else before.attempt)
        counted = {} if before is None else before.usage or {}
        for name, value in (entry.usage or {}).items():
            if isinstance(value, int | float):
                self.usage[name] = self.usage.get(name, 0) + value - counted.get(name, 0)

    def _apply_wait(self, entry: Entry) -> None:
        if entry.kind == "call":
            self.children[(entry.output if entry.status == "scheduled" else entry.input)["child"]] = None
        if entry.status != "scheduled":
            self.open.pop(entry.path, None)
            self._wait_or_run()
            return
        self.step = (entry.name or entry.kind, entry.attempt)
        self.open[entry.path] = _waits_for(entry)
        self._wait_or_run()

    def _wait_or_run(self) -> None:
        """Set `waiting` for a run that may leave memory: something is waited for and no attempt is to come."""
        if self.status in ("running", "waiting"):
            self.status = "running" if self.retrying or not (self.open or self.parked) else "waiting"

    @property
    def next_attempt_ms(self) -> int | None:
        """Return when the next attempt of a step that failed is due, None where none is to come."""
        if self.status in ENDED:
            return None
        return min((one.due_ms for one in self.retrying.values() if one.due_ms is not None), default=None)

    def waits_for(self) -> str | None:
        """Return the word for what the run waits for, None for one that is at work or has ended.

        queued: to begin. retry: the next attempt of a step. budget, approval, signal, sleep, child: as they say; of
        several the first in this order.
        """
        if self.status == "queued":
            return "queued"
        if self.status == "running":
            return "retry" if self.retrying else None
        if self.status != "waiting":
            return None
        if self.parked:
            return "budget"
        return min(self.open.values(), key=WAITED_FOR.index, default=None)

    def _reason(self) -> str | None:
        """Return why the run is where it is: the reason of its end or wait, else which attempt it waits for."""
        if self.reason is not None or self.next_attempt_ms is None:
            return self.reason
        entry = min(self.retrying.values(), key=lambda one: one.due_ms or 0)
        text = (entry.error or {}).get("message", "")
        return f"attempt {entry.attempt} of {entry.kind} {entry.name or entry.path} failed: {text}; it is tried again"

    def totals(self) -> dict[str, Any]:
        """Return what the run has used so far, children not included."""
        used = self.usage
        return {
            **{name: value for name, value in used.items() if name != "recorded"},
            "input_tokens": used.get("input_tokens", 0),
            "output_tokens": used.get("output_tokens", 0),
            "cost_usd": used.get("cost_usd", 0.0),
            "llm_calls": self.calls[0],
            "tool_calls": self.calls[1],
            "recorded_hits": used.get("recorded", 0),
        }

    def to_json(self) -> dict[str, Any]:
        """Return the body of `GET /runs/{id}`."""
        step, attempt = self.step
        return {
            "run_id": self.run_id,
            "agent": self.agent,
            "status": self.status,
            "stage": self.stage,
            "progress": self.progress,
            "progress_text": self.progress_text,
            "step": step,
            "attempt": attempt,
            "input": self.input,
            "error": self.error,
            "usage": self.totals(),
            "parent": self.meta.get("parent"),
            "children": list(self.children),
            "forked_from": self.meta.get("forked_from"),
            "forks": list(self.forks),
            "reason": self._reason(),
            "next_attempt_at": None if (due := self.next_attempt_ms) is None else iso(due),
            "started_by": self.meta.get("caller"),
            "endings": self.ended,
            "created_at": iso(self.created_ms),
            "updated_at": iso(self.updated_ms),
        }


def _waits_for(entry: Entry) -> str:
    if entry.kind == "wait":
        return "approval" if entry.name == APPROVAL else "signal"
    return "child" if entry.kind == "call" else entry.kind


def fold(entries: Iterable[Entry]) -> RunView:
    """Return the view of the run that the entries, in log order, belong to; raise ValueError if there are none."""
    view: RunView | None = None
    expired = False
    for entry in entries:
        if view is None:
            view = RunView(entry.run_id, entry.agent)
        view.apply(entry)
        expired = expired or entry.path == EXPIRED
    if view is None:
        raise ValueError("a run without entries has no view: look for its submission first")
    if expired:  # whatever is left beside the marker is being deleted
        view.status = GONE
    return view


def history(entries: Iterable[Entry], after: int = 0) -> list[dict[str, Any]]:
    """Return the entries of `GET /runs/{id}/history` behind `after`; what a wait got is shown with the wait."""
    listed = sorted(entries, key=lambda entry: entry.seq)
    inbox = {entry.path.removeprefix(INBOX): entry.output for entry in listed if entry.path.startswith(INBOX)}
    return [_line(entry, inbox) for entry in listed if entry.seq > after]


def _line(entry: Entry, inbox: dict[str, Any]) -> dict[str, Any]:
    output, given = entry.output, entry.input
    if entry.status == "scheduled" and entry.due_ms is not None and given is None:
        given = {"until": iso(entry.due_ms)}
    if entry.kind == "wait" and entry.status == "completed" and isinstance(entry.input, dict):
        output = inbox.get(entry.input.get("signal", ""))
    elif entry.kind == "progress":
        output = {"progress": entry.progress}
    return {
        "seq": entry.seq,
        "path": entry.path,
        "kind": entry.kind,
        "name": entry.name,
        "stage": entry.stage,
        "status": entry.status,
        "attempt": entry.attempt,
        "started_at": iso(entry.started_ms or entry.recorded_ms),
        "finished_at": iso(entry.finished_ms),
        "input": given,
        "output": output,
        "error": entry.error,
        "usage": entry.usage,
    }
