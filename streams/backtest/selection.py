"""Which recorded runs a backtest runs: of a stretch of the queue, by id, by what they are, or a sample of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from schemas.run import RunHistoryGiven, RunSubmitted
from streams.backtest.expression import Expression
from streams.engine.fork import assembled
from streams.errors import ForkError
from streams.replay.runs import Submission, roots

if TYPE_CHECKING:
    from streams.replay.log import ReplayLog
    from streams.replay.run_observations import Observed
    from topics.reader import Position

FIELDS: Final = (
    "run_id",
    "agent",
    "status",
    "input",
    "result",
    "error",
    "priority",
    "cost_usd",
    "input_tokens",
    "output_tokens",
    "llm_calls",
    "tool_calls",
    "seconds",
)
"""What `where` may name."""


@dataclass(frozen=True, slots=True)
class RunSelection:
    """`runs` are ids (None: all), `where` is an expression over FIELDS, `sample` how many are drawn by `seed`."""

    runs: frozenset[str] | None = None
    where: Expression | None = None
    sample: int | None = None
    seed: int = 0

    def choose(
        self, submissions: Iterable[Submission], known: Mapping[str, Observed]
    ) -> tuple[list[Submission], dict[str, int]]:
        """Return the submissions to run, oldest first, and how many are left out by reason."""
        tops, left = roots(submissions, known)
        chosen: list[Submission] = []
        for one in tops:
            reason = self._reason(one, known.get(one.event.run_id))
            if reason is None:
                chosen.append(one)
            else:
                left[reason] = left.get(reason, 0) + 1
        if self.sample is not None and self.sample < len(chosen):
            left["not in the sample"] = len(chosen) - self.sample
            chosen = sorted(chosen, key=self._draw)[: self.sample]
        return sorted(chosen, key=lambda one: (one.at_ms, one.event.run_id)), left

    def _reason(self, one: Submission, observed: Observed | None) -> str | None:
        """Return why a run is left out."""
        if self.runs is not None and one.event.run_id not in self.runs:
            return "not named by --runs"
        if observed is None:
            return "without a journal"
        if self.where is not None and not self.where.holds(fields_of(observed)):
            return "not chosen by --where"
        return None

    def _draw(self, one: Submission) -> bytes:
        """Return what orders runs for the sample: more runs do not change which of two is drawn first."""
        return hashlib.sha256(f"{self.seed}/{one.event.run_id}".encode()).digest()


def fields_of(observed: Observed) -> dict[str, Any]:
    """Return what `where` sees of a run."""
    view = observed.view
    return {
        "run_id": view.run_id,
        "agent": view.agent,
        "status": view.status,
        "input": view.input,
        "result": view.result,
        "error": view.error,
        "priority": view.meta.get("priority", "default"),
        "seconds": (view.updated_ms - view.created_ms) / 1000,
        **{name: value for name, value in view.totals().items() if name in FIELDS},
    }


def submissions_of(log: ReplayLog, agent: str, start: Position, end: Position) -> list[Submission]:
    """Return the submissions of an agent's queue in a stretch of the log; blocking, raises TopicError."""
    found: list[Submission] = []
    parts: dict[str, list[str | None]] = {}  # of the long histories of forks
    for record in log.records(log.stretch(log.names.agents(agent), start, end)):
        event = log.arrival(record).event
        if isinstance(event, RunHistoryGiven):
            parts.setdefault(event.run_id, []).append(event.text)
        elif isinstance(event, RunSubmitted):
            try:
                whole = event if event.history_parts is None else assembled(event, parts.pop(event.run_id, []))
            except ForkError:  # the stretch begins between the parts
                continue
            found.append(Submission(whole, record.timestamp, record.partition, record.offset))
    return found
