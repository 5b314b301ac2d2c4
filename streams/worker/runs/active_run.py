"""A run in memory, and what is known of its row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from streams.worker.runs.run_trace import context_of

if TYPE_CHECKING:
    from schemas.trace_context import TraceContext
    from streams.define.agents import Agent
    from streams.engine.machine import Machine
    from streams.limits.budget_client import Spender
    from streams.model.repeats import Repeats
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.commit_unit import CommitUnit

Shown = tuple[str, str | None, int, int]
"""What a run's row says that can change: status, stage, progress, endings."""
UNLISTED: Final[Shown] = ("", None, 0, 0)
"""What is known of a run that was just taken in: it has no row."""


class ActiveRun:
    """A run in memory."""

    __slots__ = (
        "_trace",
        "assignment",
        "executing",
        "last",
        "machine",
        "repeats",
        "run_id",
        "shown",
        "spender",
        "tasks",
        "waits_for",
    )

    def __init__(self, owned: PartitionAssignment, run_id: str, machine: Machine) -> None:
        """Keep `machine` while the run has something under way."""
        self.assignment = owned
        self.run_id = run_id
        self.machine = machine
        self.last: CommitUnit | None = None  # the newest unit; all earlier ones of the run commit before it
        self.tasks: dict[str, Any] = {}  # running effects by path
        self.executing = False  # holds a place of its agent's concurrency
        self.shown: Shown | None = None  # what its row in `runs` says, once that is known
        self.repeats: Repeats | None = None  # what its model was asked: all of it is on the log before what comes
        self.spender: Spender | None = None
        self._trace: TraceContext | None = None
        self.waits_for: str | None = None  # as it was counted last

    @property
    def trace(self) -> TraceContext:
        """Return the run's span, once its submission is in its journal."""
        if self._trace is None:
            self._trace = context_of(self.machine.journal.view)
        return self._trace

    @property
    def agent(self) -> Agent[Any, Any]:
        """Return the agent's definition."""
        return self.machine.agent
