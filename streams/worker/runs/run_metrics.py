"""What a worker counts of its runs: endings, times, model and tool calls, and what runs wait for.

Figures come from the entries and records of committed units, so work that is repeated after a crash counts once. What
runs wait for is a state: it is counted at each decision, and anew by the next owner of a partition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from schemas.call import CallRecorded
from streams.engine.entry import END, PARKED, STARTED
from streams.engine.view import EFFECTS, fold
from streams.metrics import (
    MODEL_CALLS,
    MODEL_COST,
    MODEL_TOKENS,
    RUN_DURATION,
    RUN_QUEUE,
    RUNS_ENDED,
    RUNS_STARTED,
    RUNS_WAITING,
    STEP_DURATION,
    STEP_RETRIES,
    TOOL_CALLS,
    Observations,
)

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from streams.engine.decision import Decision
    from streams.engine.entry import Entry
    from streams.engine.view import RunView
    from streams.runtime.assignment import PartitionAssignment
    from streams.worker.runs.active_run import ActiveRun

_MODELS: Final = 100  # names as labels; a run may ask for any model, and each name is a series for ever
_OTHER: Final = "other"
_UNKNOWN: Final = "unknown"
UNSERVED: Final = "unserved"
_TOKENS: Final = {"input_tokens": "input", "output_tokens": "output"}


class RunMetrics:
    """A collector over the runs of one worker."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._waiting: dict[PartitionAssignment, Counter[tuple[str, str]]] = {}
        self._started: Counter[tuple[str]] = Counter()
        self._ended: Counter[tuple[str, str]] = Counter()
        self._retries: Counter[tuple[str, str]] = Counter()
        self._model_calls: Counter[tuple[str, str, str]] = Counter()
        self._tokens: Counter[tuple[str, str, str]] = Counter()
        self._cost: dict[tuple[str, str], float] = {}
        self._tool_calls: Counter[tuple[str, str]] = Counter()
        self._models: set[str] = set()
        self._duration = Observations(RUN_DURATION)
        self._queue = Observations(RUN_QUEUE)
        self._steps = Observations(STEP_DURATION)

    def collect(self) -> Iterator[Metric]:
        """Yield all figures as they are now."""
        waiting: Counter[tuple[str, str]] = Counter()
        for counts in self._waiting.values():
            waiting.update(counts)
        yield RUNS_WAITING.family((labels, max(count, 0)) for labels, count in waiting.items())
        yield RUNS_STARTED.family(self._started.items())
        yield RUNS_ENDED.family(self._ended.items())
        yield STEP_RETRIES.family(self._retries.items())
        yield MODEL_CALLS.family(self._model_calls.items())
        yield MODEL_TOKENS.family(self._tokens.items())
        yield MODEL_COST.family(self._cost.items())
        yield TOOL_CALLS.family(self._tool_calls.items())
        for observed in (self._duration, self._queue, self._steps):
            yield observed.family()

    # -- what runs wait for

    def begin(self, owned: PartitionAssignment) -> None:
        """Count the runs of an assignment from now on, until it dies."""
        self._waiting[owned] = Counter()
        owned.on_death.append(lambda: self._forget(owned))

    def _forget(self, owned: PartitionAssignment) -> None:
        self._waiting.pop(owned, None)

    def restored(self, owned: PartitionAssignment, agent: str, waits_for: str | None) -> None:
        """Count a run that was found when its partition came here."""
        self._move(owned, agent, None, waits_for)

    def found(self, live: ActiveRun, entries: Iterable[Entry]) -> None:
        """Note what a run waited for whose machine is about to be made from `entries`: it is counted already."""
        live.waits_for = fold(sorted(entries, key=lambda entry: entry.seq)).waits_for()

    def decided(self, live: ActiveRun, decision: Decision) -> None:
        """Count a decision of a run, what it did when its last unit (`live.last`) is committed."""
        view = live.machine.journal.view
        waits_for = view.waits_for()
        if waits_for != live.waits_for:
            self._move(live.assignment, live.agent.name, live.waits_for, waits_for)
            live.waits_for = waits_for
        entries = [entry for entry in decision.entries if _counts(entry)]
        calls = [output.event for output in decision.outputs if isinstance(output.event, CallRecorded)]
        if (entries or calls) and live.last is not None:
            live.last.on_commit.append(
                partial(self._count, live.agent.name, _due_ms(view), view.created_ms, entries, calls)
            )

    def _move(self, owned: PartitionAssignment, agent: str, before: str | None, after: str | None) -> None:
        counts = self._waiting.get(owned)
        if counts is None:
            return
        if before is not None:
            counts[agent, before] -= 1
        if after is not None:
            counts[agent, after] += 1

    # -- what they did

    def _count(
        self, agent: str, due_ms: int, created_ms: int, entries: Sequence[Entry], calls: Sequence[CallRecorded]
    ) -> None:
        for entry in entries:
            if entry.path == STARTED:
                self._started[(agent,)] += 1
                self._queue.observe(max(entry.recorded_ms - due_ms, 0) / 1000, agent)
            elif entry.path.startswith(END):
                self._ended[agent, entry.name] += 1
                self._duration.observe(max(entry.recorded_ms - created_ms, 0) / 1000, agent)
            else:
                self._count_effect(agent, entry)
        for call in calls:
            self._count_call(agent, call)

    def _count_effect(self, agent: str, entry: Entry) -> None:
        if entry.status == "scheduled":
            self._retries[agent, entry.kind] += 1
            return
        took_ms = (entry.finished_ms or entry.recorded_ms) - (entry.started_ms or entry.recorded_ms)
        self._steps.observe(max(took_ms, 0) / 1000, agent, entry.kind)
        if (entry.usage or {}).get("recorded"):
            if entry.kind == "tool":
                self._tool_calls[entry.name, "recorded"] += 1
            else:
                self._model_calls[agent, _UNKNOWN, "recorded"] += 1
        elif entry.status == "failed" and entry.kind == "llm":
            self._model_calls[agent, _UNKNOWN, "error"] += 1

    def _count_call(self, agent: str, call: CallRecorded) -> None:
        outcome = "ok" if call.error is None else "error"
        if call.kind == "tool":
            self._tool_calls[call.name, outcome] += 1
            return
        model = self._model(call.name)
        self._model_calls[agent, model, outcome] += 1
        usage: dict[str, Any] = call.usage or {}
        for name, kind in _TOKENS.items():
            if count := usage.get(name):
                self._tokens[agent, model, kind] += count
        if cost := usage.get("cost_usd"):
            self._cost[agent, model] = self._cost.get((agent, model), 0.0) + cost

    def _model(self, name: str) -> str:
        if name not in self._models:
            if len(self._models) >= _MODELS:
                return _OTHER
            self._models.add(name)
        return name


def _counts(entry: Entry) -> bool:
    """Return whether an entry is a start, an end, or an attempt of an effect that was made."""
    if entry.path[0] == "~":
        return entry.path == STARTED or entry.path.startswith(END)
    if entry.kind not in EFFECTS or entry.status == "cancelled":
        return False
    return entry.status != "scheduled" or (entry.error or {}).get("type") not in (None, PARKED)


def _due_ms(view: RunView) -> int:
    return max(view.created_ms, view.meta.get("not_before_ms") or 0)
